/* SPDX-License-Identifier: Apache-2.0
 * A JACK client with ports of its own. The server may end and come back: the source's thread watches
 * and opens the client anew.
 *
 *   jack          one port, for the user to connect
 *   jack:N        N ports
 *   jack:REGEX    a port for each output port that matches now, connected; jack_autoconnect does the
 *                 same for the ports there are, and for those that come later */
#include <errno.h>
#include <jack/jack.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/sources/common.h"
#include "daemon/timeline.h"

enum { MAX_PORTS = 64 };
static const int64_t retry_ns = 1000 * 1000 * 1000, watch_ns = 100 * 1000 * 1000;

struct jack_source {
    struct source_common common;
    pthread_t thread;
    bool started;
    char client_name[80];
    char pattern[256];  /* "" for none */
    bool has_regex;
    regex_t regex;
    int wanted_ports;   /* 0: as many as match */

    /* while a client is open */
    jack_client_t *client;
    int n_ports;
    jack_port_t *ports[MAX_PORTS];
    int64_t clock_offset_ns; /* CLOCK_MONOTONIC - JACK's clock */

    /* real-time thread writes */
    bool restarted; /* before the first block of a client */
    atomic_uint_least64_t xruns;

    atomic_bool gone;     /* the server ended (its notification thread) */
    atomic_bool reconnect; /* ports came (its notification thread) */
    bool was_open;
};

/* The real-time callback: no lock, no allocation, no log, no system call. */
static int process(jack_nframes_t frames, void *arg)
{
    struct jack_source *j = arg;
    uint32_t channels = (uint32_t)j->n_ports;
    jack_nframes_t current;
    jack_time_t now_us, next_us;
    float period_us;
    float *to = ring_reserve(j->common.ring, frames, channels);
    if (to == NULL)
        return 0; /* counted */
    for (uint32_t c = 0; c < channels; c++) {
        const float *from = jack_port_get_buffer(j->ports[c], frames);
        for (jack_nframes_t i = 0; i < frames; i++)
            to[i * channels + c] = from[i];
    }
    int64_t t_ns = 0;
    if (jack_get_cycle_times(j->client, &current, &now_us, &next_us, &period_us) == 0)
        t_ns = (int64_t)now_us * 1000 + j->clock_offset_ns - (int64_t)((double)period_us * 1000);
    ring_commit(j->common.ring, frames, jack_get_sample_rate(j->client), t_ns,
                j->restarted ? RING_RESTART : 0);
    j->restarted = false;
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
    atomic_store(&j->gone, true);
}

static void on_port(jack_port_id_t id, int registered, void *arg)
{
    struct jack_source *j = arg;
    (void)id;
    if (registered)
        atomic_store(&j->reconnect, true);
}

static void silent(const char *text)
{
    (void)text;
}

/* Connects matching output ports to ours in order, those that are not connected yet. */
static int connect_ports(struct jack_source *j)
{
    const char **found = jack_get_ports(j->client, NULL, JACK_DEFAULT_AUDIO_TYPE, JackPortIsOutput);
    int n = 0;
    for (int i = 0; found != NULL && found[i] != NULL && n < j->n_ports; i++) {
        if (regexec(&j->regex, found[i], 0, NULL, 0) != 0)
            continue;
        jack_connect(j->client, found[i], jack_port_name(j->ports[n]));
        n++;
    }
    jack_free((void *)found);
    return n;
}

static int count_matches(struct jack_source *j)
{
    const char **found = jack_get_ports(j->client, NULL, JACK_DEFAULT_AUDIO_TYPE, JackPortIsOutput);
    int n = 0;
    for (int i = 0; found != NULL && found[i] != NULL; i++)
        n += regexec(&j->regex, found[i], 0, NULL, 0) == 0;
    jack_free((void *)found);
    return n;
}

static bool register_ports(struct jack_source *j)
{
    int wanted = j->wanted_ports;
    if (wanted == 0)
        wanted = count_matches(j);
    wanted = wanted < 1 ? 1 : wanted > MAX_PORTS ? MAX_PORTS : wanted;
    for (j->n_ports = 0; j->n_ports < wanted; j->n_ports++) {
        char name[16];
        snprintf(name, sizeof name, "in_%d", j->n_ports + 1);
        j->ports[j->n_ports] =
            jack_port_register(j->client, name, JACK_DEFAULT_AUDIO_TYPE, JackPortIsInput, 0);
        if (j->ports[j->n_ports] == NULL)
            return false;
    }
    return true;
}

static void describe(struct jack_source *j)
{
    int connected = 0;
    for (int i = 0; i < j->n_ports; i++)
        connected += jack_port_connected(j->ports[i]) > 0;
    source_set_format(&j->common, jack_get_sample_rate(j->client), (uint32_t)j->n_ports);
    source_set_state(&j->common, SOURCE_RUNNING, "JACK client %s: %d port%s, %d connected",
                     jack_get_client_name(j->client), j->n_ports, j->n_ports == 1 ? "" : "s",
                     connected);
}

static bool open_client(struct jack_source *j)
{
    jack_status_t status;
    j->client = jack_client_open(j->client_name, JackNoStartServer, &status);
    if (j->client == NULL)
        return false;
    atomic_store(&j->gone, false);
    j->restarted = j->was_open;
    j->clock_offset_ns = monotonic_ns() - (int64_t)jack_get_time() * 1000;
    jack_on_shutdown(j->client, on_shutdown, j);
    jack_set_xrun_callback(j->client, on_xrun, j);
    jack_set_process_callback(j->client, process, j);
    if (j->has_regex)
        jack_set_port_registration_callback(j->client, on_port, j);
    if (!register_ports(j) || jack_activate(j->client) != 0) {
        jack_client_close(j->client);
        j->client = NULL;
        return false;
    }
    if (j->has_regex)
        connect_ports(j);
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
        pthread_mutex_lock(&j->common.lock);
        j->common.status.xruns = atomic_load(&j->xruns);
        pthread_mutex_unlock(&j->common.lock);
        if (atomic_exchange(&j->reconnect, false) && j->has_regex && connect_ports(j) > 0)
            describe(j);
    }
    jack_client_close(j->client);
    j->client = NULL;
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

/* A number of ports, a pattern, or nothing. */
static int parse_spec(struct jack_source *j, const struct source_config *config,
                      struct error *error)
{
    char *end;
    long n = strtol(config->spec, &end, 10);
    j->wanted_ports = 1;
    if (config->spec[0] != '\0' && *end == '\0') {
        if (n < 1 || n > MAX_PORTS)
            return error_set(error, EINVAL, "source jack: %ld ports; allowed: 1 to %d", n,
                             MAX_PORTS);
        j->wanted_ports = (int)n;
    } else if (config->spec[0] != '\0') {
        j->wanted_ports = 0;
        return compile(j, config->spec, error);
    }
    return config->jack_autoconnect != NULL ? compile(j, config->jack_autoconnect, error) : 0;
}

static void jack_stop(struct source *source)
{
    struct jack_source *j = (struct jack_source *)source;
    if (j == NULL)
        return;
    source_common_stop(&j->common);
    if (j->started)
        pthread_join(j->thread, NULL);
    source_common_finish(&j->common);
    if (j->has_regex)
        regfree(&j->regex);
    free(j);
}

static int jack_start(struct source **ret, const struct source_config *config, struct error *error)
{
    struct jack_source *j = calloc(1, sizeof *j);
    if (j == NULL)
        return error_set(error, ENOMEM, "source jack: out of memory");
    jack_set_error_function(silent);
    jack_set_info_function(silent);
    int r = source_common_init(&j->common, &source_jack, config, error);
    if (r == 0)
        r = parse_spec(j, config, error);
    snprintf(j->client_name, sizeof j->client_name, "focald-%s", config->name);
    j->client_name[jack_client_name_size() - 1 < (int)sizeof j->client_name - 1
                       ? jack_client_name_size() - 1
                       : (int)sizeof j->client_name - 1] = '\0';
    if (r == 0) {
        int code = pthread_create(&j->thread, NULL, jack_main, j);
        j->started = code == 0;
        if (code != 0)
            r = error_set(error, code, "source jack: cannot start its thread: %s", strerror(code));
    }
    if (r < 0) {
        jack_stop(&j->common.source);
        return r;
    }
    *ret = &j->common.source;
    return 0;
}

static jack_client_t *open_probe(void)
{
    jack_set_error_function(silent);
    jack_set_info_function(silent);
    return jack_client_open("focald-probe", JackNoStartServer, NULL);
}

static bool jack_probe(void)
{
    jack_client_t *client = open_probe();
    if (client != NULL)
        jack_client_close(client);
    return client != NULL;
}

static int jack_list(struct source_entry *ret, int cap, struct error *error)
{
    jack_client_t *client = open_probe();
    if (client == NULL)
        return error_set(error, ENODEV, "no JACK server answers");
    const char **found = jack_get_ports(client, NULL, JACK_DEFAULT_AUDIO_TYPE, JackPortIsOutput);
    int n = 0;
    for (int i = 0; found != NULL && found[i] != NULL; i++, n++) {
        if (n >= cap)
            continue;
        snprintf(ret[n].spec, sizeof ret[n].spec, "jack:%s", found[i]);
        snprintf(ret[n].description, sizeof ret[n].description, "JACK output port");
    }
    jack_free((void *)found);
    jack_client_close(client);
    return n;
}

const struct source_ops source_jack = {
    .name = "jack",
    .help = "jack[:N|:REGEX]  a JACK client with N ports, or with one for each port that matches",
    .auto_rank = 2,
    .probe = jack_probe,
    .start = jack_start,
    .stop = jack_stop,
    .status = source_common_status,
    .list = jack_list,
};
