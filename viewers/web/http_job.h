/* SPDX-License-Identifier: Apache-2.0
 * What an HTTP request must wait for: the history, a password's check. Done by the reader's thread;
 * the response leaves when the connection is writable after that. */
#ifndef FOCAL_WEB_HTTP_JOB_H
#define FOCAL_WEB_HTTP_JOB_H

#include "viewers/web/http.h"

/* Begins what x->path of the history asks. -ENOENT: it is no path of the history's; else what the
 * callback returns. */
int http_job_history(struct web *web, struct exchange *x, const char *query);
int http_job_login(struct web *web, struct exchange *x, const char *password);
/* The next piece of the file that x sends. */
int http_job_piece(struct web *web, struct exchange *x);

bool http_job_is_done(const struct http_job *job);
/* Answers with what was found, and frees the job. */
int http_job_respond(struct http_job *job, struct exchange *x);
/* The connection is gone. Takes NULL. */
void http_job_abandon(struct http_job *job);

#endif
