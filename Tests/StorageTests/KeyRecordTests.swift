import Domain
import Storage
import Testing

@Suite struct KeyRecordTests {
  private func key(_ account: ServiceAccountRecord) -> AuthorizedKeyRecord {
    AuthorizedKeyRecord(
      id: .random(), serviceAccountID: account.id, algorithm: "RSA_2048", publicKey: "pem", createdAt: start)
  }

  private func account(_ world: World) async throws -> ServiceAccountRecord {
    let account = ServiceAccountRecord(
      id: .random(), folderID: world.folder.id, name: "robot", createdAt: start)
    try await world.store.createServiceAccount(account)
    return account
  }

  private func token(_ id: String, of account: ServiceAccountRecord) -> TokenRecord {
    TokenRecord(
      id: id, subject: account.id.text, createdAt: start + .seconds(5), expiresAt: start + .seconds(3600))
  }

  @Test func `a deleted key takes its tokens with it and no others`() async throws {
    let world = try await World()
    let account = try await account(world)
    let (one, two) = (key(account), key(account))
    try await world.store.addKey(one)
    try await world.store.addKey(two)
    #expect(try await world.store.addToken(token("a", of: account), exchangedBy: one.id.text))
    #expect(try await world.store.addToken(token("b", of: account), exchangedBy: two.id.text))
    #expect(try await world.store.authorizedKey(one.id.text).lastUsedAt == start + .seconds(5))
    try await world.store.deleteKey(one.id, at: start)
    #expect(try await world.store.revokedLiveTokens(at: start) == ["a"])
    #expect(try await world.store.authorizedKeys(of: account.id).map(\.id) == [two.id])
    let error = try await #require(throws: PlatformError.self) {
      try await world.store.deleteKey(one.id, at: start)
    }
    #expect(error.code == .notFound)
  }

  @Test func `a deleted key is exchanged for nothing`() async throws {
    let world = try await World()
    let account = try await account(world)
    let key = key(account)
    try await world.store.addKey(key)
    try await world.store.deleteKey(key.id, at: start)
    #expect(try await world.store.addToken(token("a", of: account), exchangedBy: key.id.text) == false)
    #expect(try await world.store.token("a") == nil)
  }

  @Test func `a deleted service account loses its keys`() async throws {
    let world = try await World()
    let account = try await account(world)
    try await world.store.addKey(key(account))
    try await world.store.deleteServiceAccount(account.id, at: start)
    #expect(try await world.store.authorizedKeys().isEmpty)
    let late = key(account)
    await #expect(throws: PlatformError.self) { try await world.store.addKey(late) }
  }

  @Test func `forgetting a token forgets where it came from`() async throws {
    let world = try await World()
    let account = try await account(world)
    let key = key(account)
    try await world.store.addKey(key)
    #expect(try await world.store.addToken(token("a", of: account), exchangedBy: key.id.text))
    #expect(try await world.store.forgetTokens(expiredBefore: start + .seconds(7200)) == 1)
    #expect(try await world.store.addToken(token("a", of: account), exchangedBy: key.id.text))
  }

  @Test func `a deleted API key stays named until the next start`() async throws {
    let world = try await World()
    let account = try await account(world)
    func key(_ hash: String) -> APIKeyRecord {
      APIKeyRecord(
        id: .random(), serviceAccountID: account.id, scope: "call", secretHash: hash, createdAt: start)
    }
    let (one, two, late) = (key("1"), key("2"), key("3"))
    try await world.store.addKey(one)
    try await world.store.addKey(two)
    try await world.store.deleteAPIKey(one.id.text, of: account.id, at: start)
    #expect(try await world.store.apiKeys().map(\.id) == [two.id])
    #expect(try await world.store.revokedLiveTokens(at: start) == [one.id.text])
    try await world.store.deleteServiceAccount(account.id, at: start)
    #expect(try await world.store.revokedLiveTokens(at: start) == [one.id.text, two.id.text].sorted())
    await #expect(throws: PlatformError.self) { try await world.store.addKey(late) }
    try await world.store.forgetDeletedAPIKeys()
    #expect(try await world.store.revokedLiveTokens(at: start).isEmpty)
  }
}
