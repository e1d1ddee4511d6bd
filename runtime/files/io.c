/*
** io.c - files as bytes: whole reads, atomic replacement, folders; clock, terminal, checksum.
*/
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strerror_r that returns the text */
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "files.h"

void *gan_file_fail (gan_ctx *c, const char *path, const char *fmt, ...) {
  char text[512];
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  return gan_fail(c, GAN_EFILE, "%s: %s", path, text);
}

/* The message of errno, without strerror's shared buffer. */
static void *fail_errno (gan_ctx *c, const char *path, const char *what) {
  char text[128];
  int e = errno;
  const char *s = strerror_r(e, text, sizeof text); /* GNU: the message, in `text` or constant */
  return gan_file_fail(c, path, "%s%s%s", what, *what ? ": " : "", s);
}

/* ---- reading ------------------------------------------------------------------------------ */

bool gan_file_open (gan_ctx *c, gan_file *f, const char *path) {
  struct stat st;
  f->path = path;
  f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a named pipe must not hang us */
  if (f->fd < 0) {
    fail_errno(c, path, "");
    return false;
  }
  if (fstat(f->fd, &st) == 0 && S_ISREG(st.st_mode)) {
    f->size = (uint64_t)st.st_size;
    return true;
  }
  gan_file_fail(c, path, "not a regular file");
  gan_file_close(f);
  return false;
}

void gan_file_close (gan_file *f) {
  if (f->fd >= 0) close(f->fd);
  f->fd = -1;
}

bool gan_file_read (gan_ctx *c, gan_file *f, uint64_t offset, void *to, size_t bytes) {
  char *p = to;
  while (bytes > 0) {
    ssize_t n = pread(f->fd, p, bytes < (1u << 30) ? bytes : (1u << 30), (off_t)offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      fail_errno(c, f->path, "reading");
      return false;
    }
    if (n == 0) {
      gan_file_fail(c, f->path, "the file ends at byte %llu, while it is read",
                    (unsigned long long)offset);
      return false;
    }
    p += n;
    bytes -= (size_t)n;
    offset += (uint64_t)n;
  }
  return true;
}

gan_tensor *gan_read_file (gan_ctx *c, const char *path, uint64_t max) {
  gan_file f;
  gan_tensor *t = NULL;
  if (!gan_file_open(c, &f, path)) return NULL;
  if (f.size > max)
    gan_file_fail(c, path, "%llu bytes long, at most %llu are read", (unsigned long long)f.size,
                  (unsigned long long)max);
  else {
    int64_t size = (int64_t)f.size;
    t = gan_new(c, GAN_UINT8, 1, &size);
    if (t && !gan_file_read(c, &f, 0, gan_bytes(t), (size_t)size)) t = NULL;
  }
  gan_file_close(&f);
  return t;
}

/* ---- atomic replacement ------------------------------------------------------------------- */

/* Tests let any step of a replacement fail, or kill the process there (gan.debug.fail_io). */
static bool fails_here (gan_ctx *c) {
  if (c->io_faults == 0 || c->io_after-- > 0) return false;
  c->io_after = 0;
  c->io_faults--;
  if (c->io_error == 0) raise(SIGKILL);
  errno = c->io_error;
  return true;
}

/* A disk that fills up takes the first part of what is written. */
static ssize_t write_some (gan_ctx *c, int fd, const char *p, size_t bytes) {
  if (c->io_faults > 0 && c->io_after == 0) (void)!write(fd, p, bytes / 2);
  return fails_here(c) ? -1 : write(fd, p, bytes < (1u << 30) ? bytes : (1u << 30));
}

static void replacement_free (gan_replacement *r) {
  if (r->fd >= 0) close(r->fd);
  r->fd = -1;
  free(r->path);
  free(r->temporary);
  r->path = r->temporary = NULL;
}

/* Makes a new file beside the target. The kernel applies the umask: no need to ask for it. */
static bool open_temporary (gan_ctx *c, gan_replacement *r, size_t size) {
  if (fails_here(c)) return false;
  for (int k = 0; k < 1000; k++) {
    snprintf(r->temporary, size, "%s.%ld-%d.tmp", r->path, (long)getpid(), k);
    r->fd = open(r->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (r->fd >= 0) return true;
    if (errno != EEXIST) return false;
  }
  return false;
}

bool gan_replace_open (gan_ctx *c, gan_replacement *r, const char *path) {
  struct stat st;
  r->fd = -1;
  r->temporary = NULL;
  bool exists = stat(path, &st) == 0;
  bool plain = !exists || S_ISREG(st.st_mode);
  r->path = exists && plain ? realpath(path, NULL) : strdup(path);
  if (!plain) { /* a device or a pipe is written to, nothing takes its place; a folder refuses */
    r->fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (r->path && r->fd >= 0) return true;
  } else if (r->path) {
    size_t size = strlen(r->path) + 48;
    r->temporary = malloc(size);
    if (r->temporary && open_temporary(c, r, size)) {
      if (exists) (void)!fchmod(r->fd, st.st_mode & 0777); /* keeps the rights where it may */
      return true;
    }
  }
  fail_errno(c, path, "writing");
  replacement_free(r);
  return false;
}

bool gan_replace_write (gan_ctx *c, gan_replacement *r, const void *data, size_t bytes) {
  const char *p = data;
  while (bytes > 0) {
    ssize_t n = write_some(c, r->fd, p, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      fail_errno(c, r->path, "writing");
      return false;
    }
    p += n;
    bytes -= (size_t)n;
  }
  return true;
}

/* On the disk; file systems that cannot say so are no error. */
static bool sync_fd (gan_ctx *c, int fd) {
  return !fails_here(c) && (fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP);
}

/* Makes the new name itself survive a power cut, where the folder may be opened. */
static bool sync_folder_of (gan_ctx *c, char *path) {
  char *slash = strrchr(path, '/');
  if (slash) *slash = '\0';
  int fd = open(!slash ? "." : slash == path ? "/" : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (slash) *slash = '/';
  if (fd < 0) return true;
  bool ok = sync_fd(c, fd);
  int e = errno;
  close(fd);
  errno = e;
  return ok;
}

static bool close_synced (gan_ctx *c, gan_replacement *r) {
  bool ok = sync_fd(c, r->fd);
  int e = errno;
  bool closed = close(r->fd) == 0; /* network file systems report a full disk here */
  r->fd = -1;
  if (!ok) errno = e;
  return ok && closed && !fails_here(c);
}

bool gan_replace_commit (gan_ctx *c, gan_replacement *r) {
  const char *what = "syncing";
  bool ok = close_synced(c, r);
  if (ok && r->temporary) {
    what = "renaming";
    ok = !fails_here(c) && rename(r->temporary, r->path) == 0;
  }
  if (!ok) {
    fail_errno(c, r->path, what);
    gan_replace_cancel(r);
    return false;
  }
  ok = !r->temporary || sync_folder_of(c, r->path);
  if (!ok) fail_errno(c, r->path, "syncing the folder");
  replacement_free(r);
  return ok;
}

void gan_replace_cancel (gan_replacement *r) {
  if (r->temporary) unlink(r->temporary);
  replacement_free(r);
}

bool gan_replace_file (gan_ctx *c, const char *path, const void *data, size_t bytes) {
  gan_replacement r;
  if (!gan_replace_open(c, &r, path)) return false;
  if (gan_replace_write(c, &r, data, bytes)) return gan_replace_commit(c, &r);
  gan_replace_cancel(&r);
  return false;
}

/* ---- folders, clock, terminal ------------------------------------------------------------- */

static bool make_one (const char *path) {
  struct stat st;
  if (mkdir(path, 0777) == 0) return true;
  int e = errno; /* EEXIST; also EROFS and others for folders that exist */
  if (stat(path, &st) == 0) {
    if (S_ISDIR(st.st_mode)) return true;
    e = ENOTDIR;
  }
  errno = e;
  return false;
}

bool gan_sync_file (gan_ctx *c, const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  bool ok = fd >= 0 && sync_fd(c, fd);
  if (!ok) fail_errno(c, path, "syncing");
  if (fd >= 0) close(fd);
  return ok;
}

bool gan_make_folder (gan_ctx *c, const char *path) {
  char *copy = strdup(path);
  bool ok = copy != NULL;
  for (char *p = copy; ok && *p; p++) {
    if (*p != '/' || p == copy) continue;
    *p = '\0';
    ok = make_one(copy);
    *p = '/';
  }
  ok = ok && make_one(copy);
  if (!ok) fail_errno(c, path, "making the folder");
  free(copy);
  return ok;
}

bool gan_protect_file (gan_ctx *c, const char *path) {
  struct stat s;
  if (stat(path, &s) == 0 && chmod(path, s.st_mode & 0700) == 0) return true;
  fail_errno(c, path, "changing rights");
  return false;
}

double gan_seconds (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int gan_terminal_width (int fd) {
  struct winsize w;
  if (ioctl(fd, TIOCGWINSZ, &w) != 0) return 0;
  return w.ws_col;
}

/* ---- checksum ----------------------------------------------------------------------------- */

/*
** CRC-32 of gzip and PNG (reflected polynomial 0xEDB88320), eight bytes at a time: table k tells
** what a byte contributes that k more bytes follow. The tables cost some 2,000 steps to make, so
** they live on the stack, and there is no shared state to initialise.
*/
static void make_tables (uint32_t table[8][256]) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t r = i;
    for (int k = 0; k < 8; k++) r = r & 1 ? (r >> 1) ^ 0xEDB88320u : r >> 1;
    table[0][i] = r;
  }
  for (int k = 1; k < 8; k++)
    for (int i = 0; i < 256; i++)
      table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 255];
}

uint32_t gan_crc32 (uint32_t crc, const void *data, size_t bytes) {
  uint32_t table[8][256];
  const uint8_t *p = data;
  uint32_t r = ~crc;
  make_tables(table);
  for (; bytes >= 8; bytes -= 8, p += 8) {
    r ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    r = table[7][r & 255] ^ table[6][r >> 8 & 255] ^ table[5][r >> 16 & 255] ^ table[4][r >> 24] ^
        table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
  }
  for (; bytes > 0; bytes--) r = (r >> 8) ^ table[0][(r ^ *p++) & 255];
  return ~r;
}
