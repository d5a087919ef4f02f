import Domain
import FoundationEssentials
import Glibc
import Storage
import Testing

@testable import Secrets

private let start = Timestamp(seconds: 1_800_000_000)

/// A store with a folder, and a vault over it.
private final class World: Sendable {
  let home: String
  let store: Store
  let folder: FolderRecord

  init() async throws {
    home = FileManager.default.temporaryDirectory.appending(path: "roost-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
    store = try Store(path: home + "/roost.db")
    folder = FolderRecord(id: .random(), name: "default", createdAt: start)
    try await store.createFolder(folder)
  }

  deinit { try? FileManager.default.removeItem(atPath: home) }

  var keyFile: String { home + "/secrets.json" }

  func open() async throws -> SecretVault { try await SecretVault.open(store: store, keyFile: keyFile) }

  func record(_ name: String) -> SecretRecord {
    SecretRecord(
      id: .random(), folderID: folder.id, name: name, createdAt: start, createdBy: "sva", updatedAt: start)
  }

  /// Whether the database or its log has these bytes.
  func diskHas(_ bytes: some Collection<UInt8>) -> Bool {
    let needle = Array(bytes)
    let names = (try? FileManager.default.contentsOfDirectory(atPath: home)) ?? []
    return names.filter { $0.hasPrefix("roost.db") }.contains { name in
      let found = Array(FileManager.default.contents(atPath: "\(home)/\(name)") ?? Data())
      return found.indices.contains { found[$0] == needle[0] && found[$0...].starts(with: needle) }
    }
  }
}

@Suite struct VaultTests {
  @Test func `a value comes back, also after a restart, and stands nowhere on the disk`() async throws {
    let world = try await World()
    let vault = try await world.open()
    let record = world.record("api-key")
    let value = Array("correct horse battery staple".utf8)
    try await vault.create(record, value: value)
    #expect(try await vault.value(of: record.id) == value)
    #expect(try await world.open().value(of: record.id) == value)
    #expect(!world.diskHas(value))
    #expect(world.diskHas("api-key".utf8))
    var status = stat()
    #expect(stat(world.keyFile, &status) == 0 && status.st_mode & 0o777 == 0o600)
  }

  @Test func `a new value is a new version, a description is not`() async throws {
    let world = try await World()
    let vault = try await world.open()
    let record = world.record("api-key")
    try await vault.create(record, value: [1])
    let described = try await vault.update(record.id, description: "for tests", value: nil, at: start)
    #expect(described.version == 1 && described.description == "for tests")
    let changed = try await vault.update(record.id, description: nil, value: [2], at: start + .seconds(1))
    #expect(changed.version == 2 && changed.description == "for tests")
    #expect(try await vault.value(of: record.id) == [2])
  }

  @Test func `values and names have limits`() async throws {
    let world = try await World()
    let vault = try await world.open()
    try await vault.create(world.record("largest"), value: [UInt8](repeating: 7, count: 65536))
    let large = try await #require(throws: PlatformError.self) {
      try await vault.create(world.record("larger"), value: [UInt8](repeating: 7, count: 65537))
    }
    #expect(large.field == "value" && large.message.contains("65537"))
    let empty = try await #require(throws: PlatformError.self) {
      try await vault.create(world.record("empty"), value: [])
    }
    #expect(empty.field == "value")
    let again = try await #require(throws: PlatformError.self) {
      try await vault.create(world.record("largest"), value: [1])
    }
    #expect(again.code == .alreadyExists && again.message.contains("'largest'"))
  }

  @Test func `a value in the place of another is refused`() async throws {
    let world = try await World()
    let vault = try await world.open()
    let (mine, theirs) = (world.record("mine"), world.record("theirs"))
    try await vault.create(mine, value: [1])
    try await vault.create(theirs, value: [2])
    var swapped = try #require(try await world.store.sealedSecret(theirs.id))
    swapped.secretID = mine.id
    try await world.store.reseal(swapped)
    let error = try await #require(throws: PlatformError.self) { try await vault.value(of: mine.id) }
    #expect(error.code == .dataLoss && error.message.contains("'mine'"))
    // Nor does an old version come back.
    let old = try #require(try await world.store.sealedSecret(theirs.id))
    _ = try await vault.update(theirs.id, description: nil, value: [3], at: start)
    var replayed = old
    replayed.version = 2
    try await world.store.reseal(replayed)
    await #expect(throws: PlatformError.self) { try await vault.value(of: theirs.id) }
  }

  @Test func `a key file that others may read, or that is damaged, is refused`() async throws {
    let world = try await World()
    _ = try await world.open()
    chmod(world.keyFile, 0o640)
    let wide = try await #require(throws: PlatformError.self) { try await world.open() }
    #expect(wide.message.contains("chmod 600"))
    for text in ["", "{", #"{"current":2,"keys":{}}"#, #"{"current":1,"keys":{"1":"AAAA"}}"#] {
      try PrivateFile.write(text, to: world.keyFile)
      let error = try await #require(throws: PlatformError.self) { try await world.open() }
      #expect(error.code == .dataLoss && error.message.contains("restore it from a backup"))
    }
  }

  @Test func `without the key file, values are told to be lost and can be given anew`() async throws {
    let world = try await World()
    let record = world.record("api-key")
    try await (try await world.open()).create(record, value: [1])
    unlink(world.keyFile)
    let vault = try await world.open()
    #expect(try await vault.unreadable() == 1)
    let error = try await #require(throws: PlatformError.self) { try await vault.value(of: record.id) }
    #expect(error.message.contains("roost secret update api-key"))
    #expect(try await vault.rotate().unreadable == ["api-key"])
    _ = try await vault.update(record.id, description: nil, value: [2], at: start)
    #expect(try await vault.value(of: record.id) == [2])
    #expect(try await vault.unreadable() == 0)
  }
}

@Suite struct RotationTests {
  @Test func `a rotation seals every value anew and forgets the old key`() async throws {
    let world = try await World()
    let vault = try await world.open()
    let records = (0..<20).map { world.record("secret-\($0)") }
    for (index, record) in records.enumerated() {
      try await vault.create(record, value: [UInt8](repeating: UInt8(index), count: 5000))
    }
    let old = try #require(try await world.store.sealedSecret(records[3].id))
    let report = try await vault.rotate()
    #expect(report == RotatedKeyResource(masterKey: 2, resealed: 20, unreadable: []))
    for (index, record) in records.enumerated() {
      let expected = [UInt8](repeating: UInt8(index), count: 5000)
      #expect(try await vault.value(of: record.id) == expected)
    }
    let keys = try #require(try MasterKeys.read(world.keyFile))
    #expect(keys.current == 2 && Array(keys.keys.keys) == [2])
    #expect(!world.diskHas(old.sealed.prefix(64)), "old values are off the disk")
  }

  @Test func `a rotation that was cut short goes on at the next start`() async throws {
    let world = try await World()
    let record = world.record("api-key")
    try await (try await world.open()).create(record, value: [1])
    // The new key is in the file, no value is sealed with it.
    var keys = try #require(try MasterKeys.read(world.keyFile))
    try keys.add(above: 0)
    try keys.write(world.keyFile)
    #expect(try await world.open().value(of: record.id) == [1])
    #expect(try await world.store.masterKeysInUse() == [2: 1])
    #expect(try MasterKeys.read(world.keyFile)?.keys.count == 1)
    // All values are sealed with it, and the old key is still in the file.
    var unpruned = try #require(try MasterKeys.read(world.keyFile))
    try unpruned.add(above: 0)
    try unpruned.write(world.keyFile)
    let vault = try await world.open()
    #expect(try await vault.value(of: record.id) == [1])
    #expect(try MasterKeys.read(world.keyFile)?.keys.count == 1)
  }

  @Test func `values that are given during rotations are not lost`() async throws {
    let world = try await World()
    let vault = try await world.open()
    let records = (0..<60).map { world.record("secret-\($0)") }
    try await withThrowingTaskGroup { group in
      group.addTask { for _ in 0..<10 { _ = try await vault.rotate() } }
      for record in records {
        group.addTask { try await vault.create(record, value: Array(record.name.utf8)) }
      }
      try await group.waitForAll()
    }
    let again = try await world.open()
    for record in records { #expect(try await again.value(of: record.id) == Array(record.name.utf8)) }
  }

  @Test func `recordings can be read after a rotation and a restart, and not without their key`() async throws
  {
    let world = try await World()
    let vault = try await world.open()
    let alias = AliasRecord(
      id: .random(), folderID: world.folder.id, name: "prod", specJSON: "{}", slotsJSON: "[]",
      createdAt: start, createdBy: "sva", updatedAt: start)
    try await world.store.createAlias(alias)
    let first = try await vault.recordingCipher(of: alias.id)
    #expect(first.isNew)
    let sealed = try first.cipher.seal(Array("request".utf8), segment: 3)
    #expect(first.cipher.open(sealed, segment: 4) == nil)
    let before = try await world.store.recordingKey(of: alias.id)
    let report = try await vault.rotate()
    #expect(try await world.store.recordingKey(of: alias.id)?.masterKey == report.masterKey)
    #expect(try await world.store.recordingKey(of: alias.id) != before)
    let again = try await world.open().recordingCipher(of: alias.id)
    #expect(!again.isNew && again.cipher.open(sealed, segment: 3) == Array("request".utf8))
    // Another key file: the recording begins anew.
    try FileManager.default.removeItem(atPath: world.keyFile)
    let other = try await world.open().recordingCipher(of: alias.id)
    #expect(other.isNew && other.cipher.open(sealed, segment: 3) == nil)
    try await world.store.removeAlias(alias.id)
    #expect(try await world.store.recordingKey(of: alias.id) == nil)
  }
}
