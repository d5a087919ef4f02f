#include "pool.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Sizes grow by STEP bytes; the last class is the first that is the heap's. */
enum { STEP = 64, CLASSES = 32, KEPT_BYTES = 256 << 10 };

/* Before each block; 16 bytes, so that blocks lie as malloc's do. */
struct header {
  /* Bytes of a block of the heap, the class of another. */
  size_t size;
  uint64_t state;
};

/* Values that nothing else has by chance. */
static const uint64_t USED = 0x9d1c7a35e04fb862, FREE = 0x62fb4e05a3c71d9d, HEAP = 0x35e04fb8629d1c7a;

struct block {
  struct header header;
  struct block *next;
};

struct roost_pool {
  struct block *free[CLASSES];
  size_t count[CLASSES];
};

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ROOST_POOL_IS_HEAP 1
#endif
#endif

static size_t class_of(size_t size) {
#ifdef ROOST_POOL_IS_HEAP
  return CLASSES;
#else
  return (size + sizeof(struct header) - 1) / STEP;
#endif
}

static size_t bytes_of(size_t class) { return (class + 1) * STEP; }

struct roost_pool *roost_pool_new(void) { return calloc(1, sizeof(struct roost_pool)); }

void roost_pool_delete(struct roost_pool *pool) {
  if (!pool) return;
  for (size_t class = 0; class < CLASSES; class++) {
    for (struct block *block = pool->free[class]; block;) {
      struct block *next = block->next;
      free(block);
      block = next;
    }
  }
  free(pool);
}

void *roost_pool_malloc(size_t size, void *user) {
  struct roost_pool *pool = user;
  if (size > SIZE_MAX / 2) return NULL;
  size_t class = class_of(size);
  if (class >= CLASSES) {
    struct header *made = malloc(sizeof(struct header) + size);
    if (!made) return NULL;
    *made = (struct header){.size = size, .state = HEAP};
    return made + 1;
  }
  struct block *block = pool->free[class];
  if (block) {
    pool->free[class] = block->next;
    pool->count[class]--;
  } else {
    block = malloc(bytes_of(class));
    if (!block) return NULL;
    block->header.size = class;
  }
  block->header.state = USED;
  return &block->header + 1;
}

void roost_pool_free(void *pointer, void *user) {
  struct roost_pool *pool = user;
  if (!pointer) return;
  struct block *block = (struct block *)((struct header *)pointer - 1);
  if (block->header.state == HEAP) {
    block->header.state = FREE;
    free(block);
    return;
  }
  size_t class = block->header.size;
  if (block->header.state != USED || class >= CLASSES) abort();
  block->header.state = FREE;
  if ((pool->count[class] + 1) * bytes_of(class) > KEPT_BYTES) {
    free(block);
    return;
  }
  block->next = pool->free[class];
  pool->free[class] = block;
  pool->count[class]++;
}

void *roost_pool_calloc(size_t count, size_t size, void *user) {
  if (size && count > SIZE_MAX / 2 / size) return NULL;
  void *block = roost_pool_malloc(count * size, user);
  return block ? memset(block, 0, count * size) : NULL;
}

void *roost_pool_realloc(void *pointer, size_t size, void *user) {
  if (!pointer) return roost_pool_malloc(size, user);
  struct header *header = (struct header *)pointer - 1;
  size_t had = header->state == HEAP ? header->size : bytes_of(header->size) - sizeof(struct header);
  if (header->state != HEAP && class_of(size) == header->size) return pointer;
  void *block = roost_pool_malloc(size, user);
  if (!block) return NULL;
  memcpy(block, pointer, had < size ? had : size);
  roost_pool_free(pointer, user);
  return block;
}
