#pragma once
#include <stddef.h>

/* Memory of one thread in small blocks: what is freed is given out again, without locks and without the heap's search for
   neighbours. Each size keeps at most 256 KiB for that; blocks over 2,032 bytes are the heap's. Sanitizers see the heap only.

   The functions have the form of nghttp2's `nghttp2_mem`. A block that is freed twice ends the process. */
struct roost_pool;

/* NULL when there is no memory. */
struct roost_pool *roost_pool_new(void);
/* Every block must have been freed before. */
void roost_pool_delete(struct roost_pool *pool);
void *roost_pool_malloc(size_t size, void *pool);
void roost_pool_free(void *block, void *pool);
void *roost_pool_calloc(size_t count, size_t size, void *pool);
void *roost_pool_realloc(void *block, size_t size, void *pool);
