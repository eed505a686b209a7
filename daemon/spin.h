/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FOCALD_DAEMON_SPIN_H
#define FOCALD_DAEMON_SPIN_H

/* libgomp's threads wait by spinning, for as long as it takes to make a window: on cores that are
 * shared with the threads that make them, or with another program, the network would wait for
 * itself. How long they spin is read when a program starts, and at no other time: so this starts
 * the mode anew, once, unless the environment says how to wait. argv: of the mode. */
void spin_briefly(int argc, char **argv);

#endif
