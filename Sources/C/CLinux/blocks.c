#define _GNU_SOURCE
#include <stdlib.h>
#include "CLinux.h"

/* Blocks of one thread's queues that nobody uses: the last one given back is taken first, because it is in the cache. */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ROOST_CHECKED 1
#endif
#endif

enum { CLASSES = 5, MOST = 256 };

struct spares {
  void *first[CLASSES];
  int count[CLASSES];
};

static __thread struct spares spares;

static int class_of(long size) {
  for (int class = 0; class < CLASSES; class++) {
    if (size == ROOST_BLOCK << class) return class;
  }
  return -1;
}

void *roost_block_take(long size) {
  int class = class_of(size);
#ifndef ROOST_CHECKED
  if (class >= 0 && spares.first[class] != NULL) {
    void *block = spares.first[class];
    spares.first[class] = *(void **)block;
    spares.count[class]--;
    return block;
  }
#else
  (void)class;
#endif
  void *block = malloc((size_t)size);
  if (block == NULL) abort();
  return block;
}

void roost_block_give(void *block, long size) {
#ifndef ROOST_CHECKED
  int class = class_of(size);
  if (class >= 0 && spares.count[class] < MOST >> class) {
    *(void **)block = spares.first[class];
    spares.first[class] = block;
    spares.count[class]++;
    return;
  }
#else
  (void)size; /* the sanitizer sees who uses a block after giving it back */
#endif
  free(block);
}

void roost_blocks_free(void) {
  for (int class = 0; class < CLASSES; class++) {
    while (spares.first[class] != NULL) {
      void *block = spares.first[class];
      spares.first[class] = *(void **)block;
      free(block);
    }
    spares.count[class] = 0;
  }
}
