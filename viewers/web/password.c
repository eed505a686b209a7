/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/password.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static int start_sodium(struct error *error)
{
    return sodium_init() >= 0 ? 0 : error_set(error, EIO, "libsodium does not start");
}

int password_read(struct password *ret, const char *path, struct error *error)
{
    struct password p = {0};
    struct stat st;
    if (start_sodium(error) != 0)
        return -EIO;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set(error, errno, "password_file = %s: %s", path, strerror(errno));
    bool open_to_all = fstat(fileno(file), &st) != 0 || (st.st_mode & 07) != 0;
    bool got = fgets(p.hash, sizeof p.hash, file) != NULL;
    fclose(file);
    if (open_to_all)
        return error_set(error, EPERM, "password_file = %s: everybody may read it; chmod o= %s",
                         path, path);
    if (got)
        p.hash[strcspn(p.hash, "\n")] = '\0';
    if (!got || strncmp(p.hash, crypto_pwhash_STRPREFIX, strlen(crypto_pwhash_STRPREFIX)) != 0)
        return error_set(error, EINVAL,
                         "password_file = %s: no hash of a password; make it with focal-web "
                         "--set-password %s",
                         path, path);
    static const char purpose[] = "focal-web session 1";
    crypto_generichash(p.key, sizeof p.key, (const unsigned char *)p.hash, strlen(p.hash),
                       (const unsigned char *)purpose, sizeof purpose - 1);
    *ret = p;
    return 0;
}

/* From a terminal without echo. */
static int read_line(FILE *in, char text[PASSWORD_MOST + 2], struct error *error)
{
    struct termios old, quiet;
    bool terminal = tcgetattr(fileno(in), &old) == 0;
    if (terminal) {
        quiet = old;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(fileno(in), TCSAFLUSH, &quiet);
        fputs("password: ", stderr);
    }
    bool got = fgets(text, PASSWORD_MOST + 2, in) != NULL;
    if (terminal) {
        tcsetattr(fileno(in), TCSAFLUSH, &old);
        fputc('\n', stderr);
    }
    if (!got)
        return error_set(error, EINVAL, "no password came on standard input");
    text[strcspn(text, "\r\n")] = '\0';
    size_t n = strlen(text);
    if (n < PASSWORD_LEAST || n > PASSWORD_MOST)
        return error_set(error, EINVAL, "a password has %d to %d bytes", PASSWORD_LEAST,
                         PASSWORD_MOST);
    return 0;
}

static int write_whole(const char *path, const char *text, struct error *error)
{
    char new[4096];
    if (snprintf(new, sizeof new, "%s.XXXXXX", path) >= (int)sizeof new)
        return error_set(error, ENAMETOOLONG, "%s: too long a path", path);
    int fd = mkostemp(new, O_CLOEXEC); /* 0600 */
    if (fd < 0)
        return error_set(error, errno, "%s: %s", new, strerror(errno));
    size_t n = strlen(text);
    bool ok = write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    ok = ok && rename(new, path) == 0;
    int code = ok ? 0 : error_set(error, errno, "%s: %s", path, strerror(errno));
    if (!ok)
        unlink(new);
    return code;
}

int password_write(const char *path, FILE *in, struct error *error)
{
    char text[PASSWORD_MOST + 2], hash[crypto_pwhash_STRBYTES + 1];
    int code = start_sodium(error);
    if (code == 0)
        code = read_line(in, text, error);
    if (code != 0)
        return code;
    if (crypto_pwhash_str(hash, text, strlen(text), crypto_pwhash_OPSLIMIT_INTERACTIVE,
                          crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
        code = error_set(error, ENOMEM, "no memory to hash a password with");
    sodium_memzero(text, sizeof text);
    if (code != 0)
        return code;
    strcat(hash, "\n");
    return write_whole(path, hash, error);
}

bool password_matches(const struct password *password, const char *text)
{
    return crypto_pwhash_str_verify(password->hash, text, strlen(text)) == 0;
}

static void sign(const struct password *p, int64_t until_s, unsigned char ret[32])
{
    crypto_generichash(ret, 32, (const unsigned char *)&until_s, sizeof until_s, p->key,
                       sizeof p->key);
}

void session_make(const struct password *password, int64_t now_s, char ret[SESSION_TEXT_BYTES])
{
    unsigned char mac[32];
    char hex[65];
    int64_t until_s = now_s + SESSION_S;
    sign(password, until_s, mac);
    sodium_bin2hex(hex, sizeof hex, mac, sizeof mac);
    snprintf(ret, SESSION_TEXT_BYTES, "%lld.%s", (long long)until_s, hex);
}

bool session_is_good(const struct password *password, int64_t now_s, const char *text)
{
    unsigned char mac[32], given[32];
    size_t bytes;
    char *end;
    errno = 0;
    int64_t until_s = strtoll(text, &end, 10);
    if (end == text || *end != '.' || errno != 0 || until_s < now_s || until_s > now_s + SESSION_S)
        return false;
    const char *hex = end + 1;
    if (strlen(hex) != 64 ||
        sodium_hex2bin(given, sizeof given, hex, 64, NULL, &bytes, NULL) != 0 || bytes != 32)
        return false;
    sign(password, until_s, mac);
    return sodium_memcmp(mac, given, sizeof mac) == 0;
}
