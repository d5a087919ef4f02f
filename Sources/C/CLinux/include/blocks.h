#pragma once

/* The size of the smallest block that is kept for later; classes double up to 16 times of it. */
#define ROOST_BLOCK 4096

/* A block of `size` bytes, one that this thread gave back where there is one. Never NULL. */
void *roost_block_take(long size);
/* Gives a block of `size` bytes back. */
void roost_block_give(void *block, long size);
/* Before a thread ends: frees what it keeps. */
void roost_blocks_free(void);
