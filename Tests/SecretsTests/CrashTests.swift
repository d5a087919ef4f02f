import Domain
import FoundationEssentials
import Glibc
import Storage
import Testing

@testable import Secrets

@Suite struct CrashTests {
  /// A process makes new master keys without end; another thread of it kills it some time after the next one is in the key file.
  @Test func `no value is lost when a rotation is killed at any moment`() async throws {
    let home = FileManager.default.temporaryDirectory.appending(path: "roost-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: home) }
    let keyFile = home + "/secrets.json"
    let now = Timestamp(seconds: 1_800_000_000)
    let folder = FolderRecord(id: .random(), name: "default", createdAt: now)
    let records = (0..<30).map {
      SecretRecord(
        id: .random(), folderID: folder.id, name: "secret-\($0)", createdAt: now, createdBy: "sva",
        updatedAt: now)
    }
    func value(_ record: SecretRecord) -> [UInt8] {
      Array(String(repeating: record.name + " ", count: 3000).utf8)
    }
    do {
      let store = try Store(path: home + "/roost.db")
      try await store.createFolder(folder)
      let vault = try await SecretVault.open(store: store, keyFile: keyFile)
      for record in records { try await vault.create(record, value: value(record)) }
    }
    var keysAtDeath: [Int] = []
    for round in 0..<12 {
      await #expect(processExitsWith: .signal(SIGKILL)) {
        [home = home as String, keyFile = keyFile as String, round = round as Int] in
        let vault = try await SecretVault.open(
          store: try Store(path: home + "/roost.db"), keyFile: keyFile)
        var before = stat()
        stat(keyFile, &before)
        let killer = Task.detached {
          var status = stat()
          while stat(keyFile, &status) != 0 || status.st_ino == before.st_ino {}
          // From at once to after the whole of it.
          usleep(useconds_t(round * round * 250))
          kill(getpid(), SIGKILL)
        }
        while true { _ = try await vault.rotate() }
        await killer.value
      }
      keysAtDeath.append(try #require(try MasterKeys.read(keyFile)).keys.count)
      let vault = try await SecretVault.open(store: try Store(path: home + "/roost.db"), keyFile: keyFile)
      for record in records { #expect(try await vault.value(of: record.id) == value(record)) }
      #expect(try #require(try MasterKeys.read(keyFile)).keys.count == 1)
    }
    print("keys in the file at each death: \(keysAtDeath)")
    #expect(keysAtDeath.contains(2), "at least one death was in the middle of a rotation")
  }
}
