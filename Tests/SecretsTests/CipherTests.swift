import Domain
import Testing

@testable import Secrets

private func bytes(_ hex: String) -> [UInt8] {
  let digits = Array(hex.utf8)
  return stride(from: 0, to: digits.count, by: 2).compactMap {
    UInt8(String(decoding: digits[$0..<($0 + 2)], as: UTF8.self), radix: 16)
  }
}

@Suite struct CipherTests {
  let key = bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")
  let purpose = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2")
  let plain = bytes(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
      + "b16aedf5aa0de657ba637b39")

  /// Test case 16 of the specification of GCM that was submitted to NIST.
  @Test func `the published vector comes out`() throws {
    let nonce = bytes("cafebabefacedbaddecaf888")
    let sealed = try SecretCipher.seal(plain, key: key, purpose: purpose, nonce: nonce)
    #expect(
      sealed == nonce
        + bytes(
          "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
            + "c5f61e6393ba7a0abcc9f662")
        + bytes("76fc6ece0f4e1768cddf8853bb2d551b"))
    #expect(SecretCipher.open(sealed, key: key, purpose: purpose) == plain)
  }

  @Test func `no bit can be changed`() throws {
    let sealed = try SecretCipher.seal(plain, key: key, purpose: purpose)
    for index in sealed.indices {
      for bit in 0..<8 {
        var changed = sealed
        changed[index] ^= 1 << UInt8(bit)
        #expect(SecretCipher.open(changed, key: key, purpose: purpose) == nil)
      }
    }
    for count in 0..<sealed.count {
      #expect(SecretCipher.open(Array(sealed.prefix(count)), key: key, purpose: purpose) == nil)
    }
  }

  @Test func `another key or purpose opens nothing`() throws {
    let sealed = try SecretCipher.seal(plain, key: key, purpose: purpose)
    var other = key
    other[31] ^= 1
    #expect(SecretCipher.open(sealed, key: other, purpose: purpose) == nil)
    #expect(SecretCipher.open(sealed, key: Array(key.prefix(16)), purpose: purpose) == nil)
    #expect(SecretCipher.open(sealed, key: key, purpose: purpose + [0]) == nil)
    #expect(SecretCipher.open(sealed, key: key, purpose: []) == nil)
  }

  @Test(arguments: [0, 1, 15, 16, 17, 65536]) func `every length comes back`(_ count: Int) throws {
    let plain = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
    let sealed = try SecretCipher.seal(plain, key: key, purpose: purpose)
    #expect(SecretCipher.open(sealed, key: key, purpose: purpose) == plain)
    #expect(sealed.count == count + SecretCipher.nonceBytes + SecretCipher.tagBytes)
  }

  @Test func `the same value is never sealed alike`() throws {
    let all = try (0..<1000).map { _ in try SecretCipher.seal([1], key: key, purpose: purpose) }
    #expect(Set(all.map { $0.prefix(12) }).count == 1000)
  }
}
