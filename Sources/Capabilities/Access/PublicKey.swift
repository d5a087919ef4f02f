internal import COpenSSL
import Domain

/// The public half of an RSA key, parsed once and then read by any thread.
final class PublicKey: Sendable {
  /// Address of the OpenSSL object: it is never changed after `init`, and OpenSSL lets threads share it then.
  private let address: UInt

  /// Takes PEM (`SubjectPublicKeyInfo`) of an RSA key of 2048 to 4096 bits.
  init(pem: String) throws(PlatformError) {
    let text = Array(pem.utf8)
    let key: OpaquePointer? = text.withUnsafeBytes { buffer in
      guard let bio = BIO_new_mem_buf(buffer.baseAddress, Int32(clamping: buffer.count)) else { return nil }
      defer { BIO_free(bio) }
      return PEM_read_bio_PUBKEY(bio, nil, nil, nil)
    }
    ERR_clear_error()
    guard let key else {
      throw .invalid("publicKey", "publicKey: not a public key in PEM ('-----BEGIN PUBLIC KEY-----')")
    }
    guard EVP_PKEY_get_id(key) == EVP_PKEY_RSA, (2048...4096).contains(EVP_PKEY_get_bits(key)) else {
      EVP_PKEY_free(key)
      throw .invalid("publicKey", "publicKey: must be an RSA key of 2048 to 4096 bits")
    }
    address = UInt(bitPattern: key)
  }

  deinit { EVP_PKEY_free(OpaquePointer(bitPattern: address)) }

  /// PS256 of RFC 7518, section 3.5: SHA-256, MGF1 with SHA-256, a salt as long as the digest.
  func isPS256(_ signature: [UInt8], of message: ArraySlice<UInt8>) -> Bool {
    guard let context = EVP_MD_CTX_new() else { return false }
    defer { EVP_MD_CTX_free(context) }
    var options: OpaquePointer?
    let good =
      EVP_DigestVerifyInit(context, &options, EVP_sha256(), nil, OpaquePointer(bitPattern: address)) == 1
      && EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1
      && EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1
      && message.withUnsafeBufferPointer {
        EVP_DigestVerify(context, signature, signature.count, $0.baseAddress, $0.count)
      } == 1
    // A failed check leaves a record in the thread's error queue, which would grow with every bad assertion.
    if !good { ERR_clear_error() }
    return good
  }
}
