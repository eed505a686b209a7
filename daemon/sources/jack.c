/* SPDX-License-Identifier: Apache-2.0
 * A JACK client with ports of its own. The server may end and come back: the source's thread
 * watches and opens the client anew.
 *
 *   jack          one port, for the user to connect
 *   jack:N        N ports
 *   jack:REGEX    a port for each output port that matches, connected in order; those that come
 *                 later get one too
 *   jack, jack:N with jack_autoconnect: likewise by that expression; N limits the ports */
#include <errno.h>
#include <jack/jack.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/sources/common.h"
#include "daemon/timeline.h"

enum { MAX_PORTS = 64 };
static const int64_t retry_ns = 1000 * 1000 * 1000, watch_ns = 100 * 1000 * 1000;

/* A server that is there and does not answer (halted by a debugger, held by its driver) is waited
 * for by libjack without an end. So only threads of ours call what may ask it, and they are waited
 * for no longer than this; one that hangs is left behind with its memory, until it comes back. */
static const int64_t stop_ns = 400 * 1000 * 1000, stop_next_ns = 20 * 1000 * 1000;
static const int64_t probe_ns = 900 * 1000 * 1000, list_ns = 5000LL * 1000 * 1000;

struct jack_source {
    struct source_common common;
    pthread_t thread;
    bool started;
    atomic_int owners; /* the thread, and who stops it: the last one frees */
    char client_name[80];
    bool has_regex;
    regex_t regex;
    int wanted_ports; /* 0: as many as match, at least one */

    /* while a client is open */
    jack_client_t *client;
    atomic_int n_ports; /* may grow: a port is in `ports` before it is counted */
    jack_port_t *ports[MAX_PORTS];
    int64_t clock_offset_ns; /* CLOCK_MONOTONIC - JACK's clock */

    /* real-time thread writes */
    bool restarted; /* before the first block of a client */
    atomic_bool processing;
    atomic_uint_least64_t xruns;

    /* who stops it writes */
    atomic_bool left; /* the thread was left behind: the ring is no longer ours */

    /* JACK's notification thread writes */
    atomic_bool gone;          /* the server ended */
    atomic_bool ports_changed; /* ports came, went, were connected */
    bool was_open;
};

/* Opening and closing */

/* After its server's end libjack frees, in the next jack_client_open, every client that this
 * process still has, whoever uses it. So that open waits until all our sources have closed theirs.
 */
static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;
static int library_clients;             /* under the lock */
static atomic_bool library_server_gone; /* since there was last no client */
static atomic_bool library_hangs;       /* a thread was left behind, and nothing has ended since */

static void silent(const char *text)
{
    (void)text;
}

/* False when certainly no server answers. After a jackd was killed, jack2's jack_client_open may
 * spend 18 s on the metadata it left before it finds that nobody is there; its socket tells at
 * once. */
static bool server_may_answer(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *name = getenv("JACK_DEFAULT_SERVER");
    if (strncmp(jack_get_version_string(), "1.9.", 4) != 0 ||
        getenv("JACK_PROMISCUOUS_SERVER") != NULL)
        return true; /* another libjack, as PipeWire's, or another socket */
    snprintf(address.sun_path, sizeof address.sun_path, "/dev/shm/jack_%.60s_%u_0",
             name != NULL ? name : "default", (unsigned)getuid());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers = fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    return answers;
}

/* With the lock held. */
static jack_client_t *library_open(const char *name)
{
    jack_status_t status;
    if (library_clients == 0)
        atomic_store(&library_server_gone, false);
    if (atomic_load(&library_server_gone) || !server_may_answer())
        return NULL;
    jack_set_error_function(silent);
    jack_set_info_function(silent);
    jack_client_t *client = jack_client_open(name, JackNoStartServer, &status);
    library_clients += client != NULL;
    atomic_store(&library_hangs, false);
    return client;
}

/* With the lock held. */
static void library_close(jack_client_t *client)
{
    jack_client_close(client);
    library_clients--;
    atomic_store(&library_hangs, false);
}

/* Real-time, and JACK's notifications */

/* When the first frame of this period was captured: a period before the cycle began. JACK's
 * estimate of that is smoothed and may run ahead of the clock; what is here already was captured
 * before now. */
static int64_t captured_at(const struct jack_source *j, jack_nframes_t frames, jack_nframes_t rate)
{
    jack_nframes_t current;
    jack_time_t began_us, next_us;
    float period_us;
    int64_t period_ns = (int64_t)frames * 1000000000 / rate;
    int64_t latest = monotonic_ns() - period_ns; /* the vdso's clock: no system call */
    if (jack_get_cycle_times(j->client, &current, &began_us, &next_us, &period_us) != 0)
        return latest;
    int64_t t_ns = (int64_t)began_us * 1000 + j->clock_offset_ns - period_ns;
    return t_ns < latest ? t_ns : latest;
}

static void capture(struct jack_source *j, jack_nframes_t frames)
{
    uint32_t channels = (uint32_t)atomic_load_explicit(&j->n_ports, memory_order_acquire);
    float *to = ring_reserve(j->common.ring, frames, channels);
    if (to == NULL)
        return; /* counted */
    for (uint32_t c = 0; c < channels; c++) {
        const float *from = jack_port_get_buffer(j->ports[c], frames);
        for (jack_nframes_t i = 0; i < frames; i++)
            to[i * channels + c] = from[i];
    }
    jack_nframes_t rate = jack_get_sample_rate(j->client);
    ring_commit(j->common.ring, frames, rate, captured_at(j, frames, rate),
                j->restarted ? RING_RESTART : 0);
    j->restarted = false;
}

/* The real-time callback: no lock, no allocation, no log, no system call. */
static int process(jack_nframes_t frames, void *arg)
{
    struct jack_source *j = arg;
    atomic_store(&j->processing, true);
    if (!atomic_load(&j->left))
        capture(j, frames);
    atomic_store(&j->processing, false);
    return 0;
}

static int on_xrun(void *arg)
{
    struct jack_source *j = arg;
    atomic_fetch_add(&j->xruns, 1);
    return 0;
}

static void on_shutdown(void *arg)
{
    struct jack_source *j = arg;
    atomic_store(&library_server_gone, true);
    atomic_store(&j->gone, true);
}

static void on_port(jack_port_id_t id, int registered, void *arg)
{
    struct jack_source *j = arg;
    (void)id, (void)registered;
    atomic_store(&j->ports_changed, true);
}

static void on_connect(jack_port_id_t a, jack_port_id_t b, int connected, void *arg)
{
    struct jack_source *j = arg;
    (void)a, (void)b, (void)connected;
    atomic_store(&j->ports_changed, true);
}

/* Ports */

static int count_matches(struct jack_source *j)
{
    const char **found = jack_get_ports(j->client, NULL, JACK_DEFAULT_AUDIO_TYPE, JackPortIsOutput);
    int n = 0;
    for (int i = 0; found != NULL && found[i] != NULL; i++)
        n += regexec(&j->regex, found[i], 0, NULL, 0) == 0;
    jack_free((void *)found);
    return n;
}

static bool register_port(struct jack_source *j)
{
    int n = atomic_load(&j->n_ports);
    char name[16];
    if (n == MAX_PORTS)
        return false;
    snprintf(name, sizeof name, "in_%d", n + 1);
    j->ports[n] = jack_port_register(j->client, name, JACK_DEFAULT_AUDIO_TYPE, JackPortIsInput, 0);
    if (j->ports[n] == NULL)
        return false;
    atomic_store_explicit(&j->n_ports, n + 1, memory_order_release);
    return true;
}

static bool register_ports(struct jack_source *j)
{
    int wanted = j->wanted_ports > 0 ? j->wanted_ports : j->has_regex ? count_matches(j) : 1;
    wanted = wanted < 1 ? 1 : wanted > MAX_PORTS ? MAX_PORTS : wanted;
    atomic_store(&j->n_ports, 0);
    while (atomic_load(&j->n_ports) < wanted)
        if (!register_port(j))
            return false;
    return true;
}

/* One of our ports that nothing is connected to, or a new one; NULL when there are enough. */
static jack_port_t *free_port(struct jack_source *j)
{
    int n = atomic_load(&j->n_ports);
    for (int i = 0; i < n; i++)
        if (jack_port_connected(j->ports[i]) == 0)
            return j->ports[i];
    return j->wanted_ports == 0 && register_port(j) ? j->ports[n] : NULL;
}

static bool is_connected(const struct jack_source *j, const char *name)
{
    int n = atomic_load(&j->n_ports);
    for (int i = 0; i < n; i++)
        if (jack_port_connected_to(j->ports[i], name))
            return true;
    return false;
}

/* Gives each matching output port a port of ours. Returns false when one could not be connected
 * yet, as its client has registered it but is not active; the others do not wait for it. */
static bool connect_ports(struct jack_source *j)
{
    const char **found = jack_get_ports(j->client, NULL, JACK_DEFAULT_AUDIO_TYPE, JackPortIsOutput);
    bool all = true;
    jack_port_t *port;
    for (int i = 0; found != NULL && found[i] != NULL; i++)
        if (regexec(&j->regex, found[i], 0, NULL, 0) == 0 && !is_connected(j, found[i]) &&
            (port = free_port(j)) != NULL)
            all = jack_connect(j->client, found[i], jack_port_name(port)) == 0 && all;
    jack_free((void *)found);
    return all;
}

static void describe(struct jack_source *j)
{
    int n = atomic_load(&j->n_ports), connected = 0;
    for (int i = 0; i < n; i++)
        connected += jack_port_connected(j->ports[i]) > 0;
    source_set_format(&j->common, jack_get_sample_rate(j->client), (uint32_t)n);
    source_set_state(&j->common, SOURCE_RUNNING, "JACK client %s: %d port%s, %d connected",
                     jack_get_client_name(j->client), n, n == 1 ? "" : "s", connected);
}

/* The source's thread */

/* With the library's lock held. */
static bool activate_client(struct jack_source *j)
{
    j->client = library_open(j->client_name);
    if (j->client == NULL)
        return false;
    atomic_store(&j->gone, false);
    j->restarted = j->was_open;
    j->clock_offset_ns = monotonic_ns() - (int64_t)jack_get_time() * 1000;
    jack_on_shutdown(j->client, on_shutdown, j);
    jack_set_xrun_callback(j->client, on_xrun, j);
    jack_set_process_callback(j->client, process, j);
    jack_set_port_registration_callback(j->client, on_port, j);
    jack_set_port_connect_callback(j->client, on_connect, j);
    if (!register_ports(j) || jack_activate(j->client) != 0) {
        library_close(j->client);
        j->client = NULL;
        return false;
    }
    return true;
}

static bool open_client(struct jack_source *j)
{
    pthread_mutex_lock(&library_lock);
    bool ok = activate_client(j);
    pthread_mutex_unlock(&library_lock);
    if (!ok)
        return false;
    atomic_store(&j->ports_changed, j->has_regex && !connect_ports(j));
    if (j->was_open) {
        pthread_mutex_lock(&j->common.lock);
        j->common.status.reconnects++;
        pthread_mutex_unlock(&j->common.lock);
    }
    j->was_open = true;
    describe(j);
    return true;
}

/* Until the server goes or we stop. */
static void watch_client(struct jack_source *j)
{
    while (!atomic_load(&j->gone) && source_sleep(&j->common, watch_ns)) {
        source_set_xruns(&j->common, atomic_load(&j->xruns));
        if (atomic_load(&j->gone) || !atomic_exchange(&j->ports_changed, false))
            continue;
        if (j->has_regex && !connect_ports(j))
            atomic_store(&j->ports_changed, true); /* again, next time */
        describe(j);
    }
    pthread_mutex_lock(&library_lock);
    library_close(j->client);
    pthread_mutex_unlock(&library_lock);
    j->client = NULL;
}

static void release(struct jack_source *j)
{
    if (atomic_fetch_sub(&j->owners, 1) > 1)
        return;
    source_common_finish(&j->common);
    if (j->has_regex)
        regfree(&j->regex);
    free(j);
}

static void *jack_main(void *arg)
{
    struct jack_source *j = arg;
    struct source_common *c = &j->common;
    while (!atomic_load(&c->stopping)) {
        if (open_client(j)) {
            watch_client(j);
            continue;
        }
        source_set_state(c, SOURCE_WAITING, "waiting for the JACK server");
        source_sleep(c, retry_ns);
    }
    release(j);
    return NULL;
}

static int compile(struct jack_source *j, const char *pattern, struct error *error)
{
    char reason[128];
    int code = regcomp(&j->regex, pattern, REG_EXTENDED | REG_NOSUB);
    if (code != 0) {
        regerror(code, &j->regex, reason, sizeof reason);
        return error_set(error, EINVAL, "source jack: \"%s\" is no regular expression: %s", pattern,
                         reason);
    }
    j->has_regex = true;
    return 0;
}

/* A number of ports, an expression, or nothing. */
static int parse_spec(struct jack_source *j, const struct source_config *config,
                      struct error *error)
{
    char *end;
    long n = strtol(config->spec, &end, 10);
    if (config->spec[0] != '\0' && *end != '\0')
        return compile(j, config->spec, error);
    if (config->spec[0] != '\0' && (n < 1 || n > MAX_PORTS))
        return error_set(error, EINVAL, "source jack: %ld ports; allowed: 1 to %d", n, MAX_PORTS);
    j->wanted_ports = (int)n;
    return config->jack_autoconnect != NULL ? compile(j, config->jack_autoconnect, error) : 0;
}

static int jack_check(const struct source_config *config, struct error *error)
{
    struct jack_source *j = calloc(1, sizeof *j);
    if (j == NULL)
        return error_set(error, ENOMEM, "source jack: out of memory");
    int r = parse_spec(j, config, error);
    if (j->has_regex)
        regfree(&j->regex);
    free(j);
    return r;
}

/* Joins or, when it has not ended by then, detaches it and returns false. */
static bool join_within(pthread_t thread, int64_t limit_ns)
{
    const struct timespec pause = {0, 1000000};
    const int64_t end_ns = monotonic_ns() + limit_ns;
    int code; /* tried, and not pthread_clockjoin_np, which ThreadSanitizer does not know */
    while ((code = pthread_tryjoin_np(thread, NULL)) != 0 && monotonic_ns() < end_ns)
        nanosleep(&pause, NULL);
    if (code != 0)
        pthread_detach(thread);
    return code == 0;
}

/* Its server may come back, and its thread and callback with it: they find nothing but their own.
 */
static void leave_behind(struct jack_source *j)
{
    atomic_store(&library_hangs, true);
    source_common_mute(&j->common);
    atomic_store(&j->left, true);
    while (atomic_load(&j->processing))
        nanosleep(&(struct timespec){.tv_nsec = 100 * 1000}, NULL);
}

static void jack_stop(struct source *source)
{
    struct jack_source *j = (struct jack_source *)source;
    if (j == NULL)
        return;
    source_common_stop(&j->common);
    if (j->started && !join_within(j->thread, atomic_load(&library_hangs) ? stop_next_ns : stop_ns))
        leave_behind(j);
    release(j);
}

static int jack_start(struct source **ret, const struct source_config *config, struct error *error)
{
    struct jack_source *j = calloc(1, sizeof *j);
    if (j == NULL)
        return error_set(error, ENOMEM, "source jack: out of memory");
    atomic_init(&j->owners, 1);
    int r = source_common_init(&j->common, &source_jack, config, error);
    if (r == 0)
        r = parse_spec(j, config, error);
    snprintf(j->client_name, sizeof j->client_name, "focald-%s", config->name);
    j->client_name[jack_client_name_size() - 1 < (int)sizeof j->client_name - 1
                       ? jack_client_name_size() - 1
                       : (int)sizeof j->client_name - 1] = '\0';
    if (r == 0) {
        atomic_init(&j->owners, 2);
        int code = pthread_create(&j->thread, NULL, jack_main, j);
        j->started = code == 0;
        if (code != 0) {
            atomic_init(&j->owners, 1);
            r = error_set(error, code, "source jack: cannot start its thread: %s", strerror(code));
        }
    }
    if (r < 0) {
        jack_stop(&j->common.source);
        return r;
    }
    *ret = &j->common.source;
    return 0;
}

/* Looking for what is there */

struct look {
    atomic_int owners; /* the thread, and who asked: the last one frees */
    int cap, n;        /* n: of the ports there are, or a negative errno */
    struct source_entry entries[];
};

static atomic_bool looking; /* there is a thread, and it may hang */

static void look_release(struct look *look)
{
    if (atomic_fetch_sub(&look->owners, 1) == 1)
        free(look);
}

/* "jack:^NAME$", with what is special in an expression escaped. */
static void port_spec(char *ret, size_t cap, const char *name)
{
    size_t n = (size_t)snprintf(ret, cap, "jack:^");
    for (; *name != '\0' && n + 4 < cap; name++) {
        if (strchr("^.[]$()|*+?{}\\", *name) != NULL)
            ret[n++] = '\\';
        ret[n++] = *name;
    }
    snprintf(ret + n, cap - n, "$");
}

static int list_ports(jack_client_t *client, struct source_entry *ret, int cap)
{
    const char **found = jack_get_ports(client, NULL, JACK_DEFAULT_AUDIO_TYPE, JackPortIsOutput);
    int n = 0;
    for (int i = 0; found != NULL && found[i] != NULL; i++, n++) {
        if (n >= cap)
            continue;
        port_spec(ret[n].spec, sizeof ret[n].spec, found[i]);
        snprintf(ret[n].description, sizeof ret[n].description, "JACK output port %.230s",
                 found[i]);
    }
    jack_free((void *)found);
    return n;
}

static void *look_main(void *arg)
{
    struct look *look = arg;
    pthread_mutex_lock(&library_lock);
    jack_client_t *client = library_open("focald-probe");
    pthread_mutex_unlock(&library_lock);
    look->n = client != NULL ? list_ports(client, look->entries, look->cap) : -ENODEV;
    if (client != NULL) {
        pthread_mutex_lock(&library_lock);
        library_close(client);
        pthread_mutex_unlock(&library_lock);
    }
    atomic_store(&looking, false);
    look_release(look);
    return NULL;
}

/* Fills ret, [cap], and returns how many output ports there are; -ENODEV: no server, -ETIMEDOUT: it
 * does not answer, and none is asked again before it does. */
static int look_at_server(struct source_entry *ret, int cap, int64_t limit_ns)
{
    pthread_t thread;
    if (atomic_exchange(&looking, true))
        return -ETIMEDOUT;
    struct look *look = calloc(1, sizeof *look + (size_t)cap * sizeof *ret);
    int r = look == NULL ? -ENOMEM : 0;
    if (r == 0) {
        atomic_init(&look->owners, 2);
        look->cap = cap;
        r = -pthread_create(&thread, NULL, look_main, look);
    }
    if (r < 0) {
        atomic_store(&looking, false);
        free(look);
        return r;
    }
    if (join_within(thread, limit_ns)) {
        r = look->n;
        if (r > 0 && cap > 0)
            memcpy(ret, look->entries, (size_t)(r < cap ? r : cap) * sizeof *ret);
    } else {
        r = -ETIMEDOUT;
    }
    look_release(look);
    return r;
}

static bool jack_probe(void)
{
    return look_at_server(NULL, 0, probe_ns) >= 0;
}

static int jack_list(struct source_entry *ret, int cap, struct error *error)
{
    int n = look_at_server(ret, cap, list_ns);
    if (n == -ENODEV)
        return error_set(error, ENODEV, "no JACK server answers; start one (jackd)");
    if (n == -ETIMEDOUT)
        return error_set(error, ETIMEDOUT, "the JACK server does not answer; start it anew");
    return n < 0 ? error_set(error, -n, "cannot ask the JACK server: %s", strerror(-n)) : n;
}

const struct source_ops source_jack = {
    .name = "jack",
    .help = "jack[:N|:REGEX]  a JACK client with N ports, or with one for each port that matches",
    .auto_rank = 2,
    .probe = jack_probe,
    .check = jack_check,
    .start = jack_start,
    .stop = jack_stop,
    .status = source_common_status,
    .list = jack_list,
};
