/* SPDX-License-Identifier: Apache-2.0
 * For LD_PRELOAD: a disk that takes half a second for each large read, as one that wakes up does.
 */
#undef _FILE_OFFSET_BITS /* both names of pread stay themselves */
#include <dlfcn.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static const size_t large = 65536; /* the database reads pages of 4096 */

static void wait_for_disk(size_t bytes)
{
    if (bytes >= large)
        nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
}

/* By both names: which one is called depends on how the caller was compiled. */
ssize_t pread(int fd, void *ret, size_t bytes, off_t offset)
{
    wait_for_disk(bytes);
    return ((ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread"))(fd, ret, bytes,
                                                                               offset);
}

ssize_t pread64(int fd, void *ret, size_t bytes, off64_t offset)
{
    wait_for_disk(bytes);
    return ((ssize_t(*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64"))(fd, ret, bytes,
                                                                                   offset);
}
