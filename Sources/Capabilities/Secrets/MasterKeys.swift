import Domain
import FoundationEssentials
import Storage

/// The keys that values are sealed with, as they stand in the key file: JSON that only the user of the service may read.
///
/// `{"current":2,"keys":{"1":"BASE64","2":"BASE64"}}`. There is more than one only while a rotation is under way, or where
/// a value could not be sealed anew.
struct MasterKeys: Sendable, Equatable {
  /// The number of the key that new values are sealed with.
  private(set) var current: Int
  private(set) var keys: [Int: [UInt8]]

  /// A first key. Throws `internal` when the system gives no random numbers.
  init(firstNumber: Int) throws(PlatformError) {
    current = firstNumber
    keys = [firstNumber: try SecretCipher.random(SecretCipher.keyBytes)]
  }

  /// Adds a new key, which is the current one from now on.
  mutating func add(above used: Int) throws(PlatformError) {
    let number = max(current, used, keys.keys.max() ?? 0) + 1
    keys[number] = try SecretCipher.random(SecretCipher.keyBytes)
    current = number
  }

  /// Forgets all keys but the current one and those that are still needed.
  mutating func prune(keeping needed: some Collection<Int>) {
    keys = keys.filter { $0.key == current || needed.contains($0.key) }
  }

  var currentKey: [UInt8] { keys[current] ?? [] }

  // MARK: The file

  private struct File: Codable {
    var current: Int
    var keys: [String: String]
  }

  /// nil when there is no such file. Refuses one that others may read, and one that is damaged.
  static func read(_ path: String) throws(PlatformError) -> MasterKeys? {
    guard let text = try PrivateFile.read(path) else { return nil }
    guard let file = try? JSONDecoder().decode(File.self, from: Data(text.utf8)),
      let keys = MasterKeys(file)
    else {
      throw PlatformError(
        .dataLoss,
        "\(path) is not a file of master keys: restore it from a backup; without it the values of secrets can't be read, and removing it gives them up"
      )
    }
    return keys
  }

  private init?(_ file: File) {
    var keys: [Int: [UInt8]] = [:]
    for (name, text) in file.keys {
      guard let number = Int(name), number > 0, let bytes = Data(base64Encoded: text),
        bytes.count == SecretCipher.keyBytes
      else { return nil }
      keys[number] = Array(bytes)
    }
    guard keys[file.current] != nil else { return nil }
    self.keys = keys
    current = file.current
  }

  /// On the disk, whole or not at all, when the call returns.
  func write(_ path: String) throws(PlatformError) {
    let pairs = keys.map { (String($0.key), Data($0.value).base64EncodedString()) }
    let file = File(current: current, keys: Dictionary(pairs) { first, _ in first })
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    guard let bytes = try? encoder.encode(file) else {
      throw PlatformError(.internal, "the master keys can't be written as JSON")
    }
    try PrivateFile.write(String(decoding: bytes, as: UTF8.self) + "\n", to: path)
  }
}
