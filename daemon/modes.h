/* SPDX-License-Identifier: Apache-2.0
 * The modes of `focald MODE`. Each gets argv from the mode's name on and returns the exit status:
 * 0, 1 for a failure, 2 for a mistake on the command line. */
#ifndef FOCALD_DAEMON_MODES_H
#define FOCALD_DAEMON_MODES_H

int mode_run(int argc, char **argv);
int mode_classify(int argc, char **argv);
int mode_import(int argc, char **argv);
int mode_export(int argc, char **argv);
int mode_eval(int argc, char **argv);
int mode_reject(int argc, char **argv);
int mode_train(int argc, char **argv);
int mode_bench(int argc, char **argv);

enum { EXIT_USAGE = 2 };

#endif
