public import Domain
import Glibc

extension BlobStore {
  /// Stores bytes under the digest that they have.
  public func add(_ bytes: [UInt8]) async throws(PlatformError) -> BlobReference {
    let digest = try DigestHasher.digest(of: bytes)
    try await put(digest, bytes)
    return BlobReference(digest: digest, size: Int64(bytes.count))
  }
}

extension BlobStore {
  /// A part of a blob, shorter at its end; empty beyond it.
  public func read(_ digest: String, from offset: Int64, count: Int) throws(PlatformError) -> [UInt8] {
    let descriptor = open(try path(of: digest), O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw PlatformError(.dataLoss, "blob \(digest) is missing on disk")
    }
    defer { close(descriptor) }
    var failed = false
    let bytes = [UInt8](unsafeUninitializedCapacity: max(0, count)) { buffer, filled in
      while filled < buffer.count {
        let part = pread(
          descriptor, buffer.baseAddress.map { $0 + filled }, buffer.count - filled,
          off_t(offset) + off_t(filled))
        if part < 0, errno == EINTR { continue }
        failed = part < 0
        guard part > 0 else { break }
        filled += part
      }
    }
    guard !failed else { throw PlatformError(.dataLoss, "blob \(digest) can't be read from disk") }
    return bytes
  }
}
