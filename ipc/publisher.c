/* SPDX-License-Identifier: Apache-2.0
 * The ipc thread: polls subscriptions, control requests, authentication and the outboxes' wake-up,
 * and sends. Everything it owns is grouped below; other threads meet it in atomics, in outboxes and
 * under info_lock. */
#include "ipc/publisher.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "ipc/control.h"
#include "ipc/directory.h"
#include "ipc/encode.h"
#include "ipc/endpoint.h"
#include "ipc/keys.h"
#include "ipc/outbox.h"
#include "ipc/subscriptions.h"
#include "ipc/zap.h"

enum {
    MAX_OUTBOXES = 64,
    SUBSCRIPTION_MAX_BYTES = 1024,
    REQUEST_MAX_BYTES = 16 * CONTROL_MAX_BYTES, /* above CONTROL_MAX_BYTES: answered by an error */
    REQUESTS_A_TURN = 16,
    MESSAGES_A_TURN = 64,
};

static const int64_t INFO_PERIOD_NS = INT64_C(10000000000);

struct position {
    uint64_t first, count;
    int64_t t_wall_ns;
};

struct answer { /* to a request that was left for later */
    struct answer *next;
    uint64_t ticket;
    char *text;
};

struct publisher {
    /* immutable after start */
    char **streams; /* [n_streams] */
    int n_streams;
    int64_t run_ns;
    char tcp_data[256], tcp_control[256];
    struct directory directory;
    void *context;
    pthread_t thread;
    bool running;

    /* atomics, any thread */
    struct outbox_shared shared;
    atomic_bool stop;
    atomic_bool info_pending;
    _Atomic(struct outbox *) outboxes[MAX_OUTBOXES];
    atomic_int n_outboxes; /* written under lock */

    /* under lock */
    pthread_mutex_t lock;
    json_t **pending; /* [n_streams], infos not yet taken by the ipc thread */
    struct answer *answers;

    /* the ipc thread's */
    void *data, *control_socket;
    struct zap *zap;
    struct control control;
    struct subscriptions subscriptions; /* wanted: any thread reads */
    struct position *positions;         /* [n_streams] */
    json_t **info;                      /* [n_streams] */
    bool *info_due;                     /* [n_streams] */
    int64_t next_info_ns;
};

static int64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void wake(struct publisher *p)
{
    uint64_t one = 1;
    ssize_t written = write(p->shared.wake_fd, &one, sizeof one);
    (void)written;
}

static uint64_t take_seq(struct publisher *p, int stream, enum topic topic)
{
    return atomic_fetch_add_explicit(&p->shared.seq[stream * TOPIC_COUNT + (int)topic], 1,
                                     memory_order_relaxed);
}

/* XPUB drops for a subscriber whose queue is full, so that sending never waits. */
static void send_frames(struct publisher *p, int stream, enum topic topic, const char *header,
                        const void *payload, size_t payload_bytes)
{
    const struct subscription *to = subscriptions_at(&p->subscriptions, stream, topic);
    zmq_send(p->data, to->name, to->name_bytes, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(p->data, header, strlen(header), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(p->data, payload, payload_bytes, ZMQ_DONTWAIT);
}

static struct encode_context context_of(struct publisher *p, int stream, uint64_t seq)
{
    return (struct encode_context){.stream = p->streams[stream],
                                   .seq = seq,
                                   .run_ns = p->run_ns,
                                   .labels = json_object_get(p->info[stream], "labels")};
}

static void send_info(struct publisher *p, int stream)
{
    p->info_due[stream] = false;
    if (p->info[stream] == NULL || !publisher_wants(p, stream, TOPIC_INFO))
        return;
    const struct position *at = &p->positions[stream];
    struct encode_context context = context_of(p, stream, take_seq(p, stream, TOPIC_INFO));
    char *header = encode_info(p->info[stream], at->first, at->count, at->t_wall_ns, &context);
    if (header != NULL)
        send_frames(p, stream, TOPIC_INFO, header, "", 0);
    free(header);
}

static void take_pending_info(struct publisher *p)
{
    if (!atomic_exchange_explicit(&p->info_pending, false, memory_order_acquire))
        return;
    for (int i = 0; i < p->n_streams; i++) {
        pthread_mutex_lock(&p->lock);
        json_t *fresh = p->pending[i];
        p->pending[i] = NULL;
        pthread_mutex_unlock(&p->lock);
        if (fresh == NULL)
            continue;
        bool same = p->info[i] != NULL && json_equal(p->info[i], fresh);
        json_decref(p->info[i]);
        p->info[i] = fresh;
        if (!same)
            send_info(p, i);
    }
}

static void send_answers(struct publisher *p)
{
    pthread_mutex_lock(&p->lock);
    struct answer *a = p->answers;
    p->answers = NULL;
    pthread_mutex_unlock(&p->lock);
    while (a != NULL) {
        struct answer *next = a->next;
        control_deliver(&p->control, p->control_socket, a->ticket, a->text);
        free(a->text);
        free(a);
        a = next;
    }
}

static void take_subscriptions(struct publisher *p)
{
    uint8_t frame[SUBSCRIPTION_MAX_BYTES];
    for (;;) {
        int n = zmq_recv(p->data, frame, sizeof frame, ZMQ_DONTWAIT);
        if (n < 0)
            break;
        if ((size_t)n <= sizeof frame)
            subscriptions_apply(&p->subscriptions, frame, (size_t)n, p->info_due);
    }
    for (int i = 0; i < p->n_streams; i++)
        if (p->info_due[i])
            send_info(p, i);
}

static void send_message(struct publisher *p, const struct message *m, uint64_t seq)
{
    if (m->topic != TOPIC_HEALTH) /* which is of its own time */
        p->positions[m->stream] = (struct position){m->first, m->count, m->t_wall_ns};
    if (!publisher_wants(p, m->stream, m->topic))
        return;
    struct encode_context context = context_of(p, m->stream, seq);
    char *header = encode_header(m, &context);
    if (header != NULL)
        send_frames(p, m->stream, m->topic, header, m->payload, m->payload_bytes);
    free(header);
}

/* Sends what waits in the outboxes, MESSAGES_A_TURN of each at most so that none starves control.
 * Returns true when some is left. */
static bool drain_outboxes(struct publisher *p)
{
    bool left = false;
    int n = atomic_load_explicit(&p->n_outboxes, memory_order_acquire);
    for (int i = 0; i < n; i++) {
        struct outbox *outbox = atomic_load_explicit(&p->outboxes[i], memory_order_relaxed);
        uint64_t seq;
        const struct message *m = NULL;
        for (int k = 0; k < MESSAGES_A_TURN && (m = outbox_peek(outbox, &seq)) != NULL; k++) {
            take_pending_info(p); /* labels set before a message was sent are known to it */
            send_message(p, m, seq);
            outbox_pop(outbox);
        }
        left = left || m != NULL;
    }
    return left;
}

static void wait_for_work(struct publisher *p, bool at_once)
{
    zmq_pollitem_t items[4] = {
        {.fd = p->shared.wake_fd, .events = ZMQ_POLLIN},
        {.socket = p->data, .events = ZMQ_POLLIN},
        {.socket = p->control_socket, .events = ZMQ_POLLIN},
        {.socket = p->zap != NULL ? zap_socket(p->zap) : NULL, .events = ZMQ_POLLIN},
    };
    int64_t rest_ns = p->next_info_ns - now_ns(CLOCK_MONOTONIC);
    long timeout_ms = at_once || rest_ns <= 0 ? 0 : (long)(rest_ns / 1000000 + 1);
    zmq_poll(items, p->zap != NULL ? 4 : 3, timeout_ms);
    uint64_t count;
    ssize_t taken = read(p->shared.wake_fd, &count, sizeof count);
    (void)taken;
}

static void *run(void *user)
{
    struct publisher *p = user;
    bool left = false;
    pthread_setname_np(pthread_self(), "focald-ipc");
    while (!atomic_load_explicit(&p->stop, memory_order_acquire)) {
        wait_for_work(p, left);
        take_pending_info(p);
        take_subscriptions(p);
        send_answers(p);
        if (p->zap != NULL)
            zap_serve(p->zap);
        left = drain_outboxes(p);
        left |= control_serve(&p->control, p->control_socket, REQUESTS_A_TURN) == REQUESTS_A_TURN;
        if (now_ns(CLOCK_MONOTONIC) >= p->next_info_ns) {
            p->next_info_ns = now_ns(CLOCK_MONOTONIC) + INFO_PERIOD_NS;
            for (int i = 0; i < p->n_streams; i++)
                send_info(p, i);
        }
    }
    send_answers(p);
    while (drain_outboxes(p)) {
    }
    return NULL;
}

static int copy_streams(struct publisher *p, const struct publisher_config *config,
                        struct error *error)
{
    p->streams = calloc((size_t)config->n_streams, sizeof *p->streams);
    if (p->streams == NULL)
        return error_set(error, ENOMEM, "publisher: out of memory");
    p->n_streams = config->n_streams;
    for (int i = 0; i < p->n_streams; i++) {
        if (!stream_name_valid(config->streams[i]))
            return error_set(error, EINVAL,
                             "stream \"%.80s\": a name is 1 to %d of A-Z a-z 0-9 _ . -",
                             config->streams[i], STREAM_NAME_MAX);
        for (int k = 0; k < i; k++)
            if (strcmp(config->streams[i], config->streams[k]) == 0)
                return error_set(error, EEXIST, "stream \"%s\": named twice; names must differ",
                                 config->streams[i]);
        p->streams[i] = strdup(config->streams[i]);
        if (p->streams[i] == NULL)
            return error_set(error, ENOMEM, "publisher: out of memory");
    }
    return 0;
}

static int take_memory(struct publisher *p, const struct publisher_config *config,
                       struct error *error)
{
    int code = copy_streams(p, config, error);
    if (code != 0)
        return code;
    size_t n = (size_t)p->n_streams;
    p->shared.n_streams = p->n_streams;
    p->shared.seq = calloc(n * TOPIC_COUNT, sizeof *p->shared.seq);
    p->pending = calloc(n, sizeof *p->pending);
    p->positions = calloc(n, sizeof *p->positions);
    p->info = calloc(n, sizeof *p->info);
    p->info_due = calloc(n, sizeof *p->info_due);
    if (p->shared.seq == NULL || p->pending == NULL || p->positions == NULL || p->info == NULL ||
        p->info_due == NULL ||
        subscriptions_init(&p->subscriptions, config->streams, config->n_streams) != 0)
        return error_set(error, ENOMEM, "publisher: out of memory");
    p->shared.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->shared.wake_fd < 0)
        return error_set(error, errno, "publisher: eventfd: %s", strerror(errno));
    p->control = (struct control){.n_streams = p->n_streams,
                                  .streams = (const char *const *)p->streams,
                                  .info = p->info,
                                  .request = config->request,
                                  .user = config->user};
    return 0;
}

/* ret_secret: "" without a key */
static int read_secret(const struct publisher_config *config, char ret_secret[KEY_TEXT_BYTES],
                       struct error *error)
{
    char public[KEY_TEXT_BYTES];
    ret_secret[0] = '\0';
    if (config->curve_secret_key_file != NULL)
        return key_read_secret(config->curve_secret_key_file, ret_secret, public, error);
    if (config->curve_clients_file == NULL)
        return 0;
    return error_set(error, EINVAL,
                     "CURVE clients %s: without a curve_secret_key they guard nothing; make "
                     "one with `focalctl keygen FILE`",
                     config->curve_clients_file);
}

int publisher_check(const struct publisher_config *config, struct error *error)
{
    char secret[KEY_TEXT_BYTES];
    const char *const tcp[] = {config->tcp_data, config->tcp_control};
    int code = read_secret(config, secret, error);
    const bool has_key = secret[0] != '\0';
    explicit_bzero(secret, sizeof secret);
    if (code == 0 && config->curve_clients_file != NULL)
        code = zap_check(config->curve_clients_file, error);
    for (size_t i = 0; i < 2 && code == 0; i++)
        if (tcp[i] != NULL)
            code = endpoint_check(tcp[i], has_key, error);
    return code;
}

static int open_sockets(struct publisher *p, const struct publisher_config *config,
                        struct error *error)
{
    char secret[KEY_TEXT_BYTES];
    char data_path[DIRECTORY_PATH_MAX + 16], control_path[DIRECTORY_PATH_MAX + 16];
    int code = read_secret(config, secret, error);
    if (code == 0)
        code = directory_hold(&p->directory, config->ipc_dir, error);
    if (code != 0)
        goto end;
    snprintf(data_path, sizeof data_path, "%s/data", p->directory.path);
    snprintf(control_path, sizeof control_path, "%s/control", p->directory.path);
    p->context = zmq_ctx_new();
    if (p->context == NULL) {
        code = error_set(error, zmq_errno(), "ZeroMQ: %s", zmq_strerror(zmq_errno()));
        goto end;
    }
    if (config->curve_clients_file != NULL)
        code = zap_create(&p->zap, p->context, config->curve_clients_file, error);
    struct endpoint_config endpoint = {.type = ZMQ_XPUB,
                                       .ipc_path = data_path,
                                       .tcp = config->tcp_data,
                                       .secret_key = secret[0] != '\0' ? secret : NULL,
                                       .ask_zap = p->zap != NULL,
                                       .send_hwm = config->send_hwm > 0 ? config->send_hwm : 256,
                                       .max_bytes = SUBSCRIPTION_MAX_BYTES};
    if (code == 0)
        code = endpoint_open(&p->data, p->context, &endpoint, p->tcp_data, error);
    endpoint.type = ZMQ_ROUTER;
    endpoint.ipc_path = control_path;
    endpoint.tcp = config->tcp_control;
    endpoint.max_bytes = REQUEST_MAX_BYTES;
    if (code == 0)
        code = endpoint_open(&p->control_socket, p->context, &endpoint, p->tcp_control, error);
end:
    explicit_bzero(secret, sizeof secret);
    return code;
}

/* Signals are for the daemon's main thread. */
static int start_thread(struct publisher *p, struct error *error)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&p->thread, NULL, run, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0)
        return error_set(error, code, "publisher: no thread: %s", strerror(code));
    p->running = true;
    return 0;
}

int publisher_create(struct publisher **ret, const struct publisher_config *config,
                     struct error *error)
{
    assert(config->ipc_dir != NULL && config->n_streams >= 1 && config->request != NULL);
    struct publisher *p = calloc(1, sizeof *p);
    if (p == NULL)
        return error_set(error, ENOMEM, "publisher: out of memory");
    p->shared.wake_fd = -1;
    p->directory.lock_fd = -1;
    pthread_mutex_init(&p->lock, NULL);
    p->run_ns = now_ns(CLOCK_REALTIME);
    p->next_info_ns = now_ns(CLOCK_MONOTONIC) + INFO_PERIOD_NS;

    int code = take_memory(p, config, error);
    if (code == 0)
        code = open_sockets(p, config, error);
    if (code == 0)
        code = start_thread(p, error);
    if (code != 0) {
        publisher_destroy(p);
        return code;
    }
    *ret = p;
    return 0;
}

static void close_sockets(struct publisher *p)
{
    zap_destroy(p->zap);
    if (p->data != NULL)
        zmq_close(p->data);
    if (p->control_socket != NULL)
        zmq_close(p->control_socket);
    if (p->context != NULL) /* waits for the sockets' linger at most */
        while (zmq_ctx_term(p->context) != 0 && zmq_errno() == EINTR) {
        }
    directory_release(&p->directory);
}

void publisher_destroy(struct publisher *p)
{
    if (p == NULL)
        return;
    if (p->running) {
        atomic_store_explicit(&p->stop, true, memory_order_release);
        wake(p);
        pthread_join(p->thread, NULL);
    }
    control_finish(&p->control);
    close_sockets(p);
    for (int i = 0; i < atomic_load(&p->n_outboxes); i++)
        outbox_free(atomic_load(&p->outboxes[i]));
    for (int i = 0; i < p->n_streams; i++) {
        free(p->streams[i]);
        if (p->pending != NULL)
            json_decref(p->pending[i]);
        if (p->info != NULL)
            json_decref(p->info[i]);
    }
    if (p->shared.wake_fd >= 0)
        close(p->shared.wake_fd);
    subscriptions_finish(&p->subscriptions);
    pthread_mutex_destroy(&p->lock);
    free(p->shared.seq);
    free(p->pending);
    free(p->positions);
    free(p->info);
    free(p->info_due);
    free(p->streams);
    free(p);
}

bool publisher_wants(const struct publisher *p, int stream, enum topic topic)
{
    assert(stream >= 0 && stream < p->n_streams && (unsigned)topic < TOPIC_COUNT);
    return atomic_load_explicit(&subscriptions_at(&p->subscriptions, stream, topic)->wanted,
                                memory_order_relaxed);
}

int publisher_set_info(struct publisher *p, int stream, const json_t *fields)
{
    assert(stream >= 0 && stream < p->n_streams && json_is_object(fields));
    json_t *fresh = json_deep_copy(fields);
    if (fresh == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&p->lock);
    json_t *old = p->pending[stream];
    p->pending[stream] = fresh;
    pthread_mutex_unlock(&p->lock);
    json_decref(old);
    atomic_store_explicit(&p->info_pending, true, memory_order_release);
    wake(p);
    return 0;
}

void publisher_answer(struct publisher *p, uint64_t ticket, json_t *reply,
                      const struct error *error)
{
    struct answer *a = malloc(sizeof *a);
    char *text = control_text(reply, error);
    if (a == NULL || text == NULL) { /* whoever asked hears nothing, and asks again */
        free(a);
        free(text);
        return;
    }
    pthread_mutex_lock(&p->lock);
    *a = (struct answer){NULL, ticket, text};
    struct answer **last = &p->answers;
    while (*last != NULL)
        last = &(*last)->next;
    *last = a;
    pthread_mutex_unlock(&p->lock);
    wake(p);
}

uint64_t publisher_dropped(const struct publisher *p)
{
    return atomic_load_explicit(&p->shared.dropped, memory_order_relaxed);
}

const char *publisher_tcp_data(const struct publisher *p)
{
    return p->tcp_data;
}

const char *publisher_tcp_control(const struct publisher *p)
{
    return p->tcp_control;
}

int outbox_create(struct outbox **ret, struct publisher *p, int slots, size_t payload_capacity,
                  struct error *error)
{
    struct outbox *outbox;
    int code = outbox_new(&outbox, &p->shared, slots, payload_capacity, error);
    if (code != 0)
        return code;
    pthread_mutex_lock(&p->lock);
    int n = atomic_load_explicit(&p->n_outboxes, memory_order_relaxed);
    if (n < MAX_OUTBOXES) {
        atomic_store_explicit(&p->outboxes[n], outbox, memory_order_relaxed);
        atomic_store_explicit(&p->n_outboxes, n + 1, memory_order_release);
    }
    pthread_mutex_unlock(&p->lock);
    if (n == MAX_OUTBOXES) {
        outbox_free(outbox);
        return error_set(error, ENOSPC, "publisher: more than %d outboxes", MAX_OUTBOXES);
    }
    *ret = outbox;
    return 0;
}
