/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/http_job.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "viewers/web/archive.h"
#include "viewers/web/respond.h"

enum kind { EVENTS, EVENT, COUNTS, LISTENING, FILE_OF_EVENT, PIECE, LOGIN };
enum { PIECE_BYTES = 256 * 1024 };

struct http_job {
    struct job job;
    struct exchange *exchange;       /* NULL: it went away */
    struct password password_wanted; /* a new one may come meanwhile */
    bool secure;                     /* over TLS */
    enum kind kind;
    enum archive_file which;
    int64_t id;
    char query[QUERY_BYTES];
    char password[PASSWORD_MOST + 1];

    bool is_done;
    int code;
    char *text;
    int fd;
    int64_t size;
    unsigned char *piece;
    int64_t offset; /* of piece in the file */
    size_t piece_bytes;
    struct error error;
};

static void destroy(struct http_job *j)
{
    free(j->text);
    free(j->piece);
    if (j->fd >= 0)
        close(j->fd);
    sodium_memzero(j->password, sizeof j->password);
    free(j);
}

/* All of it or an error: the length that was promised does not come. */
static int read_piece(struct http_job *j)
{
    j->piece = malloc(j->piece_bytes);
    if (j->piece == NULL)
        return -ENOMEM;
    for (size_t n = 0; n < j->piece_bytes;) {
        ssize_t got =
            pread(j->fd, j->piece + n, j->piece_bytes - n, (off_t)(j->offset + (int64_t)n));
        if (got == 0 || (got < 0 && errno != EINTR))
            return -EIO;
        n += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

static void work(struct job *job, void *tools)
{
    struct http_job *j = (struct http_job *)job;
    struct archive *archive = tools;
    switch (j->kind) {
    case EVENTS:
        j->code = archive_events(archive, j->query, &j->text, &j->error);
        return;
    case EVENT:
        j->code = archive_event(archive, j->id, &j->text, &j->error);
        return;
    case COUNTS:
        j->code = archive_counts(archive, j->query, &j->text, &j->error);
        return;
    case LISTENING:
        j->code = archive_listening(archive, j->query, &j->text, &j->error);
        return;
    case FILE_OF_EVENT:
        j->code = archive_open_file(archive, j->id, j->which, &j->fd, &j->size, &j->error);
        return;
    case PIECE:
        j->code = read_piece(j);
        return;
    case LOGIN:
        j->code = password_matches(&j->password_wanted, j->password) ? 0 : -EACCES;
        return;
    }
}

static void done(struct job *job)
{
    struct http_job *j = (struct http_job *)job;
    j->is_done = true;
    if (j->exchange == NULL)
        destroy(j);
    else
        lws_callback_on_writable(j->exchange->wsi);
}

bool http_job_is_done(const struct http_job *job)
{
    return job->is_done;
}

void http_job_abandon(struct http_job *job)
{
    if (job == NULL)
        return;
    job->exchange = NULL;
    if (job->is_done)
        destroy(job);
}

static struct http_job *create(struct exchange *x, enum kind kind)
{
    struct http_job *j = calloc(1, sizeof *j);
    if (j == NULL)
        return NULL;
    *j = (struct http_job){
        .job = {.work = work, .done = done}, .exchange = x, .kind = kind, .fd = -1};
    return j;
}

static int give(struct web *web, struct exchange *x, struct http_job *j)
{
    if (j == NULL || !worker_give(web->reader, &j->job)) {
        if (j != NULL)
            destroy(j);
        return respond_error(x, 503, "focal-web is busy; try again");
    }
    x->job = j;
    respond_wait(x);
    return 0;
}

/* "/history/17/input.flac" */
static bool parse_file(const char *path, int64_t *ret_id, enum archive_file *ret)
{
    static const char *const names[] = {[ARCHIVE_INPUT] = "/input.flac",
                                        [ARCHIVE_AUDIO] = "/audio.flac",
                                        [ARCHIVE_PICTURE] = "/picture.png",
                                        [ARCHIVE_THUMB] = "/thumb.png"};
    char *end;
    if (strncmp(path, "/history/", 9) != 0 || path[9] < '0' || path[9] > '9')
        return false;
    errno = 0;
    *ret_id = strtoll(path + 9, &end, 10);
    for (int i = 0; i < 4 && errno == 0; i++)
        if (strcmp(end, names[i]) == 0) {
            *ret = (enum archive_file)i;
            return true;
        }
    return false;
}

static bool parse_event(const char *path, int64_t *ret_id)
{
    static const char before[] = "/api/history/";
    const char *digits = path + sizeof before - 1;
    char *end;
    if (strncmp(path, before, sizeof before - 1) != 0 || *digits < '0' || *digits > '9')
        return false;
    errno = 0;
    *ret_id = strtoll(digits, &end, 10);
    return *end == '\0' && errno == 0;
}

int http_job_history(struct web *web, struct exchange *x, const char *query)
{
    struct http_job asked = {0};
    if (strcmp(x->path, "/api/history") == 0)
        asked.kind = EVENTS;
    else if (strcmp(x->path, "/api/counts") == 0)
        asked.kind = COUNTS;
    else if (strcmp(x->path, "/api/listening") == 0)
        asked.kind = LISTENING;
    else if (parse_event(x->path, &asked.id))
        asked.kind = EVENT;
    else if (parse_file(x->path, &asked.id, &asked.which))
        asked.kind = FILE_OF_EVENT;
    else
        return -ENOENT;
    if (!web->history)
        return respond_error(x, 404, "no history is served here");
    struct http_job *j = create(x, asked.kind);
    if (j != NULL) {
        j->id = asked.id;
        j->which = asked.which;
        snprintf(j->query, sizeof j->query, "%s", query);
    }
    return give(web, x, j);
}

int http_job_login(struct web *web, struct exchange *x, const char *password)
{
    struct http_job *j = create(x, LOGIN);
    if (j != NULL) {
        j->password_wanted = *web->gate.password;
        j->secure = web->settings->certificate[0] != '\0';
        snprintf(j->password, sizeof j->password, "%s", password);
    }
    return give(web, x, j);
}

int http_job_piece(struct web *web, struct exchange *x)
{
    struct http_job *j = create(x, PIECE);
    if (j == NULL)
        return -1;
    j->fd = x->fd; /* goes with the job, which may outlive the connection */
    x->fd = -1;
    j->offset = x->offset;
    j->piece_bytes = x->left < PIECE_BYTES ? (size_t)x->left : PIECE_BYTES;
    x->job = j;
    respond_wait(x);
    worker_continue(web->reader, &j->job);
    return 0;
}

static int respond_piece_read(struct http_job *j, struct exchange *x)
{
    unsigned char *piece = j->piece;
    if (j->code != 0)
        return -1;
    x->fd = j->fd;
    j->fd = -1;
    j->piece = NULL;
    return respond_piece(x, piece, j->piece_bytes);
}

static int respond_login(const struct http_job *j, struct exchange *x)
{
    char session[SESSION_TEXT_BYTES], cookie[256];
    struct response r = {.status = 303, .type = "text/plain", .location = "/login?wrong"};
    if (j->code == 0) {
        session_make(&j->password_wanted, time(NULL), session);
        snprintf(cookie, sizeof cookie,
                 SESSION_COOKIE "=%s; Path=/; HttpOnly; SameSite=Lax; Max-Age=%d%s", session,
                 SESSION_S, j->secure ? "; Secure" : "");
        r.set_cookie = cookie;
        r.location = "/";
    }
    return respond_memory(x, &r, "", 0, false);
}

static int respond_found(struct http_job *j, struct exchange *x)
{
    bool is_sound = j->which == ARCHIVE_INPUT || j->which == ARCHIVE_AUDIO;
    struct response r = {.status = 200, .type = "application/json"};
    if (j->kind != FILE_OF_EVENT) {
        char *text = j->text;
        j->text = NULL;
        return respond_memory(x, &r, text, strlen(text), true);
    }
    int fd = j->fd;
    j->fd = -1;
    r.type = is_sound ? "audio/flac" : "image/png";
    /* an id is used twice only by a history begun anew: the page asks with the time, too */
    r.cache = "private, max-age=86400";
    return respond_file(x, &r, fd, j->size);
}

int http_job_respond(struct http_job *job, struct exchange *x)
{
    int code;
    if (job->kind == PIECE)
        code = respond_piece_read(job, x);
    else if (job->kind == LOGIN)
        code = respond_login(job, x);
    else if (job->code == 0)
        code = respond_found(job, x);
    else
        code = respond_error(x,
                             job->code == -ENOENT   ? 404
                             : job->code == -EINVAL ? 400
                                                    : 500,
                             job->error.text);
    destroy(job);
    return code;
}
