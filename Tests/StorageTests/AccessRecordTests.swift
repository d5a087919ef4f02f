import Domain
import Storage
import Testing

@Suite struct AccessRecordTests {
  @Test func `a deleted service account loses its roles and its tokens are revoked`() async throws {
    let world = try await World()
    let account = ServiceAccountRecord(
      id: .random(), folderID: world.folder.id, name: "robot", createdAt: start)
    try await world.store.createServiceAccount(account)
    let grant = GrantRecord(subject: account.id.text, role: "editor", folderID: world.folder.id)
    try await world.store.grant(grant)
    try await world.store.grant(grant)
    #expect(try await world.store.grants() == [grant])
    try await world.store.addToken(
      TokenRecord(
        id: "key1", subject: account.id.text, createdAt: start, expiresAt: start + .seconds(3600)))
    try await world.store.deleteServiceAccount(account.id, at: start)
    #expect(try await world.store.grants(subject: account.id.text).isEmpty)
    #expect(try await world.store.revokedLiveTokens(at: start) == ["key1"])
  }

  @Test func `a token that is not on record can be revoked, once and for good`() async throws {
    let world = try await World()
    let token = TokenRecord(id: "key9", subject: "s", createdAt: start, expiresAt: start + .seconds(60))
    #expect(try await world.store.revokeToken(token, at: start))
    #expect(try await !world.store.revokeToken(token, at: start + .seconds(5)))
    #expect(try await world.store.token("key9")?.revokedAt == start)
    #expect(try await world.store.revokedLiveTokens(at: start) == ["key9"])
    #expect(try await world.store.forgetTokens(expiredBefore: start + .seconds(61)) == 1)
    #expect(try await world.store.revokedLiveTokens(at: start).isEmpty)
  }

  @Test func `a revoked token stays revoked when the clock jumps back`() async throws {
    let world = try await World()
    try await world.store.addToken(
      TokenRecord(id: "key1", subject: "s", createdAt: start, expiresAt: start + .seconds(60)))
    #expect(try await world.store.liveTokens(at: start).map(\.id) == ["key1"])
    try await world.store.revokeToken("key1", at: start)
    #expect(try await world.store.liveTokens(at: start).isEmpty)
    #expect(try await world.store.revokedLiveTokens(at: start + .seconds(3600)) == ["key1"])
    #expect(try await world.store.revokedLiveTokens(at: start + .seconds(90000)).isEmpty)
    let error = try await #require(throws: PlatformError.self) {
      try await world.store.revokeToken("key2", at: start)
    }
    #expect(error.code == .notFound)
  }

  @Test func `a private file is readable by its owner only`() throws {
    let home = try TemporaryFolder()
    let path = home.path + "/token.pem"
    #expect(try PrivateFile.read(path) == nil)
    try PrivateFile.write("secret", to: path)
    #expect(try PrivateFile.read(path) == "secret")
    #expect(mode(of: path) == 0o600)
    #expect(open(path, to: 0o644))
    let error = try #require(throws: PlatformError.self) { try PrivateFile.read(path) }
    #expect(error.message.contains("chmod 600"))
  }
}
