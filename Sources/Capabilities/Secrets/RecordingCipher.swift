public import Domain

/// Seals and opens the recorded requests of one alias.
public struct RecordingCipher: Sendable {
  private let alias: AliasID
  private let key: [UInt8]

  init(alias: AliasID, key: [UInt8]) {
    self.alias = alias
    self.key = key
  }

  /// - Parameter segment: the file that it is put in: elsewhere it does not open.
  public func seal(_ plain: [UInt8], segment: Int) throws(PlatformError) -> [UInt8] {
    try SecretCipher.seal(plain, key: key, purpose: purpose(segment))
  }

  /// Nil for what was changed, or sealed with another key or for another place.
  public func open(_ sealed: [UInt8], segment: Int) -> [UInt8]? {
    SecretCipher.open(sealed, key: key, purpose: purpose(segment))
  }

  private func purpose(_ segment: Int) -> [UInt8] {
    Array("roost recording \(alias) segment \(segment)".utf8)
  }
}
