/* SPDX-License-Identifier: Apache-2.0
 * play: through the sound server that is there, as people expect. pw-play and paplay read FLAC
 * themselves; aplay does not, so it is given WAV. */
#include <errno.h>
#include <signal.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "viewers/record/commands.h"

struct playing {
    struct history *history;
    bool interpretation;
    char path[1200];
    struct error *error;
};

static int choose_file(void *user, const struct history_row *row)
{
    struct playing *p = user;
    const char *file = p->interpretation ? row->audio_file : row->input_file;
    if (file == NULL)
        return error_set(p->error, ENOENT, "%lld: its %s was not kept", (long long)row->id,
                         p->interpretation ? "interpretation" : "input");
    return history_path(p->history, file, p->path, sizeof p->path, p->error);
}

static bool is_program(const char *name)
{
    const char *path = getenv("PATH");
    char file[1024];
    for (const char *at = path; at != NULL && *at != '\0'; at += strspn(at, ":")) {
        size_t n = strcspn(at, ":");
        if ((size_t)snprintf(file, sizeof file, "%.*s/%s", (int)n, at, name) < sizeof file &&
            access(file, X_OK) == 0)
            return true;
        at += n;
    }
    return false;
}

/* A child that ran, and how it ended: 0, or its status. */
static int wait_for(pid_t child, const char *name, struct error *error)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return error_set(error, errno, "%s: %s", name, strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return error_set(error, EIO, "%s could not play it; is a sound server or card there?", name);
}

static int run_player(char *const *words, int input, struct error *error)
{
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        return error_set(error, errno, "%s: cannot be started: %s", words[0], strerror(errno));
    if (child > 0)
        return wait_for(child, words[0], error);
    if (input >= 0)
        dup2(input, STDIN_FILENO);
    execvp(words[0], words);
    fprintf(stderr, "focal-record: %s: %s\n", words[0], strerror(errno));
    _exit(127);
}

/* The sound as a WAV file without a name. */
static int decode(const char *path, FILE **ret, struct error *error)
{
    SF_INFO info = {.format = 0};
    SNDFILE *in = sf_open(path, SFM_READ, &info);
    if (in == NULL)
        return error_set(error, EIO, "%s: %s", path, sf_strerror(NULL));
    FILE *file = tmpfile();
    info.format = SF_FORMAT_WAV | SF_FORMAT_PCM_16;
    SNDFILE *out = file != NULL ? sf_open_fd(fileno(file), SFM_WRITE, &info, SF_FALSE) : NULL;
    short block[4096];
    bool whole = out != NULL;
    for (sf_count_t n; whole && (n = sf_readf_short(in, block, 4096)) > 0;)
        whole = sf_writef_short(out, block, n) == n;
    sf_close(in);
    if (out != NULL)
        whole = sf_close(out) == 0 && whole;
    if (whole) {
        lseek(fileno(file), 0, SEEK_SET);
        *ret = file;
        return 0;
    }
    if (file != NULL)
        fclose(file);
    return error_set(error, EIO, "%s: cannot be decoded into a temporary file", path);
}

static int play_wav(char *const *words, const char *path, struct error *error)
{
    FILE *wav = NULL;
    int code = decode(path, &wav, error);
    if (code < 0)
        return code;
    code = run_player(words, fileno(wav), error);
    fclose(wav);
    return code;
}

/* "mpv --no-video": the file comes last. */
static int play_with(const char *command, char *path, struct error *error)
{
    char copy[256], *words[16], *save = NULL;
    size_t n = 0;
    if ((size_t)snprintf(copy, sizeof copy, "%s", command) >= sizeof copy)
        return error_set(error, EINVAL, "the player's command is too long");
    for (char *word = strtok_r(copy, " ", &save); word != NULL && n < ARRAY_LEN(words) - 2;
         word = strtok_r(NULL, " ", &save))
        words[n++] = word;
    if (n == 0)
        return error_set(error, EINVAL, "the player's command is empty");
    words[n++] = path;
    words[n] = NULL;
    return run_player(words, -1, error);
}

static int play(const struct arguments *a, char *path, struct error *error)
{
    char pw_play[] = "pw-play", paplay[] = "paplay", aplay[] = "aplay", quiet[] = "-q";
    char ffplay[] = "ffplay -nodisp -autoexit -loglevel error";
    const char *command = a->player != NULL ? a->player : a->settings.player;
    if (command[0] != '\0')
        return play_with(command, path, error);
    if (is_program(pw_play))
        return play_with(pw_play, path, error);
    if (is_program(paplay))
        return play_with(paplay, path, error);
    if (is_program(aplay))
        return play_wav((char *const[]){aplay, quiet, NULL}, path, error);
    if (is_program("ffplay"))
        return play_with(ffplay, path, error);
    return error_set(error, ENOENT,
                     "nothing to play with: install pipewire-bin, pulseaudio-utils or alsa-utils, "
                     "or name a program with --player");
}

int command_play(const struct arguments *a)
{
    struct error error;
    struct playing p = {.interpretation = a->interpretation, .error = &error};
    int64_t id;
    if (!read_id(a->words[0], &id))
        return EXIT_USAGE;
    int code = history_open(&p.history, a->dir, &error);
    if (code == 0)
        code = history_get(p.history, id, choose_file, &p, &error);
    if (code == 0 && access(p.path, R_OK) < 0)
        code = error_set(&error, errno, "%s: %s", p.path, strerror(errno));
    if (code == 0)
        code = play(a, p.path, &error);
    history_close(p.history);
    return code < 0 ? complain(&error) : EXIT_SUCCESS;
}
