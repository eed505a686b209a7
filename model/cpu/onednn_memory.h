/* SPDX-License-Identifier: Apache-2.0
 * oneDNN 2.x builds a small table with operator new in every execution of a primitive and frees it
 * again. Between begin and end that table lies in memory taken beforehand, so that a run of the
 * network allocates nothing. */
#ifndef FOCALD_MODEL_CPU_ONEDNN_MEMORY_H
#define FOCALD_MODEL_CPU_ONEDNN_MEMORY_H

#ifdef __cplusplus
extern "C" {
#endif

/* For this thread, until end. Not nested. */
void onednn_memory_begin(void);
void onednn_memory_end(void);

#ifdef __cplusplus
}
#endif

#endif
