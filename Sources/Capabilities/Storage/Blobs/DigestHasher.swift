import COpenSSL
import Domain

/// SHA-256 of bytes that come in parts.
final class DigestHasher {
  private let context: OpaquePointer

  init() throws(PlatformError) {
    guard let context = EVP_MD_CTX_new() else { throw PlatformError(.internal, "no memory for a digest") }
    guard EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
      EVP_MD_CTX_free(context)
      throw PlatformError(.internal, "OpenSSL has no SHA-256")
    }
    self.context = context
  }

  deinit { EVP_MD_CTX_free(context) }

  func update(_ bytes: some Collection<UInt8>) {
    let done: Void? = bytes.withContiguousStorageIfAvailable {
      EVP_DigestUpdate(context, $0.baseAddress, $0.count)
    }
    if done == nil {
      let copy = Array(bytes)
      EVP_DigestUpdate(context, copy, copy.count)
    }
  }

  /// `sha256:<hex>` of all bytes; nothing may be added after it.
  func finish() -> String {
    var digest = [UInt8](repeating: 0, count: 32)
    EVP_DigestFinal_ex(context, &digest, nil)
    let hex = Array("0123456789abcdef".utf8)
    let text = digest.flatMap { [hex[Int($0 >> 4)], hex[Int($0 & 15)]] }
    return "sha256:" + String(decoding: text, as: UTF8.self)
  }

  /// The digest of bytes at hand.
  static func digest(of bytes: some Collection<UInt8>) throws(PlatformError) -> String {
    let hasher = try DigestHasher()
    hasher.update(bytes)
    return hasher.finish()
  }
}
