public import Domain
public import Storage
import Synchronization

/// The values of secrets: sealed in the store, readable only with the key file.
///
/// Everything that seals, and everything that changes the key file, happens in the store's own order, so that no value can be
/// sealed with a key that is being given up.
public final class SecretVault: Sendable {
  /// The most bytes of a value.
  public static let largestValue = 65536

  private let store: Store
  private let path: String
  private let keys: Mutex<MasterKeys>

  /// Opens the key file, made at the first start, and ends a rotation that a crash cut short.
  ///
  /// Throws `failedPrecondition` when others may read the file, `dataLoss` when it is damaged. A key file that is missing is
  /// made anew; values of before can then not be read, `unreadable` says how many.
  public static func open(store: Store, keyFile path: String) async throws(PlatformError) -> SecretVault {
    let used = try await store.allMasterKeysInUse()
    let keys: MasterKeys
    if let found = try MasterKeys.read(path) {
      keys = found
    } else {
      keys = try MasterKeys(firstNumber: (used.max() ?? 0) + 1)
      try keys.write(path)
    }
    let vault = SecretVault(store: store, path: path, keys: keys)
    if keys.keys.count > 1 || used.contains(where: { $0 != keys.current && keys.keys[$0] != nil }) {
      _ = try await vault.resealAll()
    }
    return vault
  }

  private init(store: Store, path: String, keys: MasterKeys) {
    self.store = store
    self.path = path
    self.keys = Mutex(keys)
  }

  /// How many values can't be read because their master key is not in the key file.
  public func unreadable() async throws(PlatformError) -> Int {
    let known = keys.withLock { Set($0.keys.keys) }
    return try await store.masterKeysInUse().filter { !known.contains($0.key) }.values.reduce(0, +)
  }

  // MARK: Values

  /// Keeps a new secret. Throws `alreadyExists` for a name that is taken, `resourceExhausted` when the folder is full.
  public func create(_ record: SecretRecord, value: [UInt8]) async throws(PlatformError) {
    try Self.check(value)
    try await store.atomically { store throws(PlatformError) in
      try store.createSecret(record, try self.sealed(value, record.id, record.version))
    }
  }

  /// Changes the description, or gives a new value, or both; the record as it is then. Throws `notFound`.
  public func update(
    _ id: SecretID, description: String?, value: [UInt8]?, at now: Timestamp
  ) async throws(PlatformError) -> SecretRecord {
    if let value { try Self.check(value) }
    return try await store.atomically { store throws(PlatformError) in
      guard var record = try store.secret(id) else { throw Self.missing(id.text) }
      record.description = description ?? record.description
      record.updatedAt = now
      if let value {
        record.version += 1
        try store.updateSecret(record, try self.sealed(value, id, record.version))
      } else {
        try store.updateSecret(record)
      }
      return record
    }
  }

  /// The value. Throws `notFound`, or `dataLoss` that says how to get well again.
  public func value(of id: SecretID) async throws(PlatformError) -> [UInt8] {
    guard let record = try await store.secret(id), let value = try await store.sealedSecret(id) else {
      throw Self.missing(id.text)
    }
    return try opened(value, name: record.name)
  }

  /// The value of the secret that a node's spec calls so: one of the node's folder.
  public func value(named name: String, of node: NodeID) async throws(PlatformError) -> [UInt8] {
    guard let owner = try await store.node(node) else { throw Self.missing(name) }
    return try await value(named: name, in: owner.folderID)
  }

  /// The value of a secret of a folder.
  public func value(named name: String, in folder: FolderID) async throws(PlatformError) -> [UInt8] {
    guard let record = try await store.secret(named: name, in: folder) else { throw Self.missing(name) }
    return try await value(of: record.id)
  }

  private static func missing(_ name: String) -> PlatformError {
    PlatformError(
      .notFound,
      "secret '\(name)' does not exist in the folder (or was deleted): make it with roost secret create \(name)",
      origin: .caller)
  }

  static func check(_ value: [UInt8]) throws(PlatformError) {
    guard !value.isEmpty else { throw .invalid("value", "value: is empty; give at least one byte") }
    guard value.count <= largestValue else {
      throw .invalid("value", "value: has \(value.count) bytes, at most \(largestValue) are kept")
    }
  }

  private func sealed(_ value: [UInt8], _ id: SecretID, _ version: Int) throws(PlatformError) -> SealedSecret
  {
    let (number, key) = keys.withLock { ($0.current, $0.currentKey) }
    return SealedSecret(
      secretID: id, version: version, masterKey: number,
      sealed: try SecretCipher.seal(value, key: key, purpose: Self.purpose(id, version)))
  }

  private func opened(_ value: SealedSecret, name: String) throws(PlatformError) -> [UInt8] {
    guard let key = keys.withLock({ $0.keys[value.masterKey] }) else {
      throw PlatformError(
        .dataLoss,
        "the value of secret '\(name)' can't be read: master key \(value.masterKey) is not in \(path); restore that file, or give the value anew: roost secret update \(name)"
      )
    }
    guard
      let plain = SecretCipher.open(
        value.sealed, key: key, purpose: Self.purpose(value.secretID, value.version))
    else {
      throw PlatformError(
        .dataLoss,
        "the value of secret '\(name)' can't be read: it is damaged, or \(path) is not the one that it was stored with; give the value anew: roost secret update \(name)"
      )
    }
    return plain
  }

  // MARK: Recordings

  /// What an alias' recorded requests are sealed with. Made when there is none, or none that can be read: `isNew` then, and records of before
  /// can't be read any more.
  public func recordingCipher(of alias: AliasID) async throws(PlatformError) -> (
    cipher: RecordingCipher, isNew: Bool
  ) {
    try await store.atomically { store throws(PlatformError) in
      if let sealed = try store.recordingKey(of: alias), let key = self.opened(sealed) {
        return (RecordingCipher(alias: alias, key: key), false)
      }
      let key = try SecretCipher.random(SecretCipher.keyBytes)
      try store.setRecordingKey(try self.sealed(recordingKey: key, of: alias))
      return (RecordingCipher(alias: alias, key: key), true)
    }
  }

  private func sealed(recordingKey key: [UInt8], of alias: AliasID) throws(PlatformError)
    -> SealedRecordingKey
  {
    let (number, master) = keys.withLock { ($0.current, $0.currentKey) }
    return SealedRecordingKey(
      aliasID: alias, masterKey: number,
      sealed: try SecretCipher.seal(key, key: master, purpose: Self.purpose(alias)))
  }

  private func opened(_ value: SealedRecordingKey) -> [UInt8]? {
    guard let master = keys.withLock({ $0.keys[value.masterKey] }) else { return nil }
    return SecretCipher.open(value.sealed, key: master, purpose: Self.purpose(value.aliasID))
  }

  private static func purpose(_ alias: AliasID) -> [UInt8] { Array("roost recording key \(alias)".utf8) }

  /// Binds a value to its secret and version: a row that was put in the place of another does not open.
  private static func purpose(_ id: SecretID, _ version: Int) -> [UInt8] {
    Array("roost secret \(id) version \(version)".utf8)
  }

  // MARK: Rotation

  /// Makes a new master key, seals every value with it and forgets the old ones.
  ///
  /// Whatever ends the process meanwhile, every value can be read: the key file has the new key before the first value is sealed
  /// with it, and the old ones until no value needs them. The next start goes on.
  public func rotate() async throws(PlatformError) -> RotatedKeyResource {
    try await store.atomically { store throws(PlatformError) in
      let used = try store.allMasterKeysInUse().max() ?? 0
      var next = self.keys.withLock { $0 }
      try next.add(above: used)
      try next.write(self.path)
      self.keys.withLock { $0 = next }
    }
    return try await resealAll()
  }

  private func resealAll() async throws(PlatformError) -> RotatedKeyResource {
    let report = try await store.atomically { store throws(PlatformError) in
      let current = self.keys.withLock { $0.current }
      var report = RotatedKeyResource(masterKey: current, resealed: 0, unreadable: [])
      for id in try store.secretsSealed(otherThan: current) {
        guard let record = try store.secret(id), let value = try store.sealedSecret(id) else { continue }
        do throws(PlatformError) {
          let plain = try self.opened(value, name: record.name)
          try store.reseal(try self.sealed(plain, id, value.version))
          report.resealed += 1
        } catch  where error.code == .dataLoss {
          report.unreadable.append(record.name)
        }
      }
      for sealed in try store.recordingKeys(sealedOtherThan: current) {
        // One that can't be read leaves recordings that can't; the next one to be made begins anew.
        guard let plain = self.opened(sealed) else { continue }
        try store.setRecordingKey(try self.sealed(recordingKey: plain, of: sealed.aliasID))
      }
      return report
    }
    // Old values would stand there, for whoever has an old key.
    try await store.emptyWriteAheadLog()
    try await store.atomically { store throws(PlatformError) in
      let used = try store.allMasterKeysInUse()
      var next = self.keys.withLock { $0 }
      next.prune(keeping: used)
      try next.write(self.path)
      self.keys.withLock { $0 = next }
    }
    return report
  }
}
