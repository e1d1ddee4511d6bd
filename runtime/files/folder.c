/*
** folder.c - the names in a folder, in an order that does not depend on the file system.
*/
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>

#include "files.h"

typedef struct {
  gan_ctx *c;
  char *text; /* the names, each with its zero byte */
  size_t used, text_size;
  gan_folder_entry *entries;
  size_t n, entries_size;
} listing;

static bool add (listing *l, const char *name, bool folder) {
  size_t length = strlen(name);
  char *text = gan_temp_grow(l->c, l->text, &l->text_size, l->used + length + 1);
  if (!text) return false;
  l->text = text;
  gan_folder_entry *grown =
      gan_temp_grow(l->c, l->entries, &l->entries_size, (l->n + 1) * sizeof *grown);
  if (!grown) return false;
  l->entries = grown;
  memcpy(text + l->used, name, length + 1);
  grown[l->n++] = (gan_folder_entry){NULL, l->used, folder};
  l->used += length + 1;
  return true;
}

static int by_name (const void *a, const void *b) {
  return strcmp(((const gan_folder_entry *)a)->name, ((const gan_folder_entry *)b)->name);
}

/* Regular files and folders, links followed; what vanishes meanwhile is not there. */
static bool read_entries (listing *l, DIR *dir) {
  struct dirent *e;
  struct stat st;
  while ((e = readdir(dir)) != NULL) {
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
    if (fstatat(dirfd(dir), e->d_name, &st, 0) != 0) continue;
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) continue;
    if (!add(l, e->d_name, S_ISDIR(st.st_mode))) return false;
  }
  return true;
}

bool gan_scan_folder (gan_ctx *c, const char *path, gan_folder_entry **entries, size_t *n) {
  listing l = {.c = c};
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
  if (!dir) {
    gan_file_fail(c, path, "%s", errno == ENOENT    ? "No such folder"
                                 : errno == ENOTDIR ? "not a folder"
                                                    : "the folder cannot be read");
    return false;
  }
  bool ok = read_entries(&l, dir);
  closedir(dir);
  for (size_t i = 0; i < l.n; i++) l.entries[i].name = l.text + l.entries[i].at;
  if (l.n) qsort(l.entries, l.n, sizeof *l.entries, by_name);
  *entries = l.entries;
  *n = l.n;
  return ok;
}
