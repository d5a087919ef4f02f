#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

/* Unpacks exactly one member of gzip that fills `out` exactly: 1, else 0. */
static inline int roost_gunzip(const uint8_t *in, size_t count, uint8_t *out, size_t size) {
  z_stream stream;
  memset(&stream, 0, sizeof stream);
  if (count > 0xffffffffu || size > 0xffffffffu || inflateInit2(&stream, 16 + 15) != Z_OK) return 0;
  uint8_t nothing;
  stream.next_in = (uint8_t *)(uintptr_t)in;
  stream.avail_in = (uInt)count;
  stream.next_out = size ? out : &nothing;
  stream.avail_out = (uInt)size;
  int result = inflate(&stream, Z_FINISH);
  int whole = result == Z_STREAM_END && stream.avail_in == 0 && stream.avail_out == 0;
  inflateEnd(&stream);
  return whole;
}

/* Unpacks one whole stream of at most `size` bytes: their number; -1 when it is malformed, -2 when it is longer. */
static inline long roost_unpack(const uint8_t *in, size_t count, uint8_t *out, size_t size, int window) {
  z_stream stream;
  memset(&stream, 0, sizeof stream);
  if (count > 0xffffffffu || size > 0xffffffffu || inflateInit2(&stream, window) != Z_OK) return -1;
  uint8_t nothing;
  stream.next_in = (uint8_t *)(uintptr_t)in;
  stream.avail_in = (uInt)count;
  stream.next_out = size ? out : &nothing;
  stream.avail_out = (uInt)size;
  int result = inflate(&stream, Z_FINISH);
  long unpacked = (long)(size - stream.avail_out);
  int whole = result == Z_STREAM_END && stream.avail_in == 0;
  int isLonger = (result == Z_OK || result == Z_BUF_ERROR) && stream.avail_out == 0;
  inflateEnd(&stream);
  return whole ? unpacked : isLonger ? -2 : -1;
}
