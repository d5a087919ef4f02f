internal import CLinux
internal import CNghttp2

/// Where the library's sessions of one loop have their memory: it makes and drops some ten small blocks for each request.
///
/// Used on the loop's thread only. Sessions hold it, so that it goes after the last of them.
final class SessionMemory {
  private let pool = roost_pool_new()

  deinit { roost_pool_delete(pool) }

  /// Calls `body` with the functions that a new session copies; nil, the heap's, when there was no memory for the pool.
  func with<Result>(_ body: (UnsafeMutablePointer<nghttp2_mem>?) -> Result) -> Result {
    guard let pool else { return body(nil) }
    var functions = nghttp2_mem(
      mem_user_data: UnsafeMutableRawPointer(pool), malloc: roost_pool_malloc, free: roost_pool_free,
      calloc: roost_pool_calloc, realloc: roost_pool_realloc)
    return body(&functions)
  }
}
