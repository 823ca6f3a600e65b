// Makes calls that change a folder fail, as a full or broken disk does; for scripts/check/faults.py (LD_PRELOAD).
//
// Calls on files below the root that fault_arm() names are counted: open for writing, write, fsync, rename, mkdir. The
// at-th of them, and with ENOSPC all later ones, fails. Each write and fsync is recorded with its inode, so that what a
// power cut may leave empty is known.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { NONE, FULL, BROKEN, SHORT, KILLED, UNSYNCED };

static char root[PATH_MAX];
static int kind, record = -1;
static long at, seen;

void fault_arm(const char* folder, int what, long number, int file)
{
    strncpy(root, folder, sizeof root - 1);
    kind = what, at = number, seen = 0, record = file;
}

long fault_seen(void) { return seen; }

static int below(const char* path)
{
    char absolute[2 * PATH_MAX];
    if (!root[0]) return 0;
    if (path[0] != '/') {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here)) return 0;
        snprintf(absolute, sizeof absolute, "%s/%s", here, path);
        path = absolute;
    }
    return !strncmp(path, root, strlen(root));
}

static int is_below(int file)
{
    char link[64], path[PATH_MAX];
    if (!root[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

// Whether this call is to fail; errno is set.
static int fails(void)
{
    long number = ++seen;
    if (kind == KILLED && number == at) kill(getpid(), SIGKILL);
    if ((kind == FULL && number >= at) || (kind == BROKEN && number == at)) {
        errno = kind == FULL ? ENOSPC : EIO;
        return 1;
    }
    return 0;
}

static void note(char what, int file)
{
    struct stat status;
    char line[64];
    if (record < 0 || fstat(file, &status)) return;
    int length = snprintf(line, sizeof line, "%c %lu\n", what, (unsigned long)status.st_ino);
    ssize_t (*real)(int, const void*, size_t) = dlsym(RTLD_NEXT, "write");
    if (real(record, line, length) != length) record = -1;
}

ssize_t write(int file, const void* data, size_t count)
{
    static ssize_t (*real)(int, const void*, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    if (!is_below(file)) return real(file, data, count);
    if (fails()) return -1;
    note('w', file);
    return real(file, data, kind == SHORT && seen >= at && count > 1 ? count / 2 : count);
}

int fsync(int file)
{
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    if (!is_below(file)) return real(file);
    if (fails()) return -1;
    if (kind == UNSYNCED) return 0;
    note('s', file);
    return real(file);
}

int rename(const char* from, const char* to)
{
    static int (*real)(const char*, const char*);
    if (!real) real = dlsym(RTLD_NEXT, "rename");
    return below(to) && fails() ? -1 : real(from, to);
}

int mkdir(const char* path, mode_t mode)
{
    static int (*real)(const char*, mode_t);
    if (!real) real = dlsym(RTLD_NEXT, "mkdir");
    return below(path) && fails() ? -1 : real(path, mode);
}

#define OPEN(name)                                                      \
    int name(const char* path, int flags, ...)                          \
    {                                                                   \
        static int (*real)(const char*, int, ...);                      \
        if (!real) real = dlsym(RTLD_NEXT, #name);                      \
        va_list more;                                                   \
        va_start(more, flags);                                          \
        mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;       \
        va_end(more);                                                   \
        if (flags & (O_WRONLY | O_RDWR) && below(path) && fails()) return -1; \
        return real(path, flags, mode);                                 \
    }
OPEN(open)
OPEN(open64)
