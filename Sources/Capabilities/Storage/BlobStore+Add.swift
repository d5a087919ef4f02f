public import Domain

extension BlobStore {
  /// Stores bytes under the digest that they have.
  public func add(_ bytes: [UInt8]) async throws(PlatformError) -> BlobReference {
    let digest = try DigestHasher.digest(of: bytes)
    try await put(digest, bytes)
    return BlobReference(digest: digest, size: Int64(bytes.count))
  }
}
