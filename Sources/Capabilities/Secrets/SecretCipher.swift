import COpenSSL
import Domain

/// AES-256 in Galois/Counter Mode (NIST SP 800-38D): what is opened is what was sealed, for the same purpose.
enum SecretCipher {
  static let keyBytes = 32
  static let nonceBytes = 12
  static let tagBytes = 16

  /// Random bytes of the system.
  static func random(_ count: Int) throws(PlatformError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    guard RAND_bytes(&bytes, Int32(count)) == 1 else {
      throw failure("the system gave no random numbers")
    }
    return bytes
  }

  /// Nonce, ciphertext and tag. The nonce is random: one key is good for 2^32 values.
  ///
  /// - Parameter purpose: authenticated, not stored; the same must be given to open it.
  static func seal(_ plain: [UInt8], key: [UInt8], purpose: [UInt8]) throws(PlatformError) -> [UInt8] {
    try seal(plain, key: key, purpose: purpose, nonce: random(nonceBytes))
  }

  /// The nonce must not have been used with this key before.
  static func seal(
    _ plain: [UInt8], key: [UInt8], purpose: [UInt8], nonce: [UInt8]
  ) throws(PlatformError) -> [UInt8] {
    guard key.count == keyBytes, nonce.count == nonceBytes, let context = EVP_CIPHER_CTX_new() else {
      throw failure("OpenSSL refused the master key")
    }
    defer { EVP_CIPHER_CTX_free(context) }
    var sealed = [UInt8](repeating: 0, count: plain.count)
    var tag = [UInt8](repeating: 0, count: tagBytes)
    var count: Int32 = 0
    let good =
      EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nil, key, nonce) == 1
      && (purpose.isEmpty || EVP_EncryptUpdate(context, nil, &count, purpose, Int32(purpose.count)) == 1)
      && (plain.isEmpty || EVP_EncryptUpdate(context, &sealed, &count, plain, Int32(plain.count)) == 1)
      && EVP_EncryptFinal_ex(context, nil, &count) == 1
      && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(tagBytes), &tag) == 1
    guard good else { throw failure("OpenSSL could not encrypt") }
    return nonce + sealed + tag
  }

  /// nil when it was changed, was sealed with another key, or for another purpose.
  static func open(_ sealed: [UInt8], key: [UInt8], purpose: [UInt8]) -> [UInt8]? {
    guard key.count == keyBytes, sealed.count >= nonceBytes + tagBytes, let context = EVP_CIPHER_CTX_new()
    else { return nil }
    defer { EVP_CIPHER_CTX_free(context) }
    let nonce = Array(sealed.prefix(nonceBytes))
    let body = Array(sealed.dropFirst(nonceBytes).dropLast(tagBytes))
    var tag = Array(sealed.suffix(tagBytes))
    var plain = [UInt8](repeating: 0, count: body.count)
    var count: Int32 = 0
    let good =
      EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), nil, key, nonce) == 1
      && (purpose.isEmpty || EVP_DecryptUpdate(context, nil, &count, purpose, Int32(purpose.count)) == 1)
      && (body.isEmpty || EVP_DecryptUpdate(context, &plain, &count, body, Int32(body.count)) == 1)
      && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(tagBytes), &tag) == 1
      // The plain text is nobody's before its tag was checked.
      && EVP_DecryptFinal_ex(context, nil, &count) == 1
    if !good { ERR_clear_error() }
    return good ? plain : nil
  }

  private static func failure(_ message: String) -> PlatformError {
    ERR_clear_error()
    return PlatformError(.internal, message)
  }
}
