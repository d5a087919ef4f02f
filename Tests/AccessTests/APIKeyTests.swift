import Domain
import Testing

@testable import Access

@Suite struct APIKeyTests {
  let now = Timestamp(seconds: 1_800_000_000)

  @Test func `an API key is good until its end, its deletion or that of its account`() throws {
    let authority = try TokenAuthority.generate()
    let keys = APIKeys()
    let credentials = Credentials(authority: authority, keys: keys)
    let secret = try APIKeys.makeSecret()
    let end = now + .seconds(60)
    keys.add(
      id: "key1", subject: "sva1", hash: APIKeys.hash(secret.utf8), scope: .call, expiresAt: end)
    let principal = try credentials.verify(Array(secret.utf8), at: now)
    #expect(principal == Principal(subject: "sva1", tokenID: "key1", expiresAt: end, mayOnlyCall: true))
    for refused in [secret + "A", String(secret.dropLast()), "roost_"] {
      #expect(throws: PlatformError.self) { try credentials.verify(Array(refused.utf8), at: now) }
    }
    let late = try #require(throws: PlatformError.self) {
      try credentials.verify(Array(secret.utf8), at: end)
    }
    #expect(late.message.contains("expired"))
    keys.remove(id: "key1")
    #expect(throws: PlatformError.self) { try credentials.verify(Array(secret.utf8), at: now) }
    keys.add(id: "key2", subject: "sva1", hash: APIKeys.hash(secret.utf8), scope: .all, expiresAt: nil)
    #expect(try credentials.verify(Array(secret.utf8), at: now).mayOnlyCall == false)
    keys.remove(subject: "sva1")
    #expect(throws: PlatformError.self) { try credentials.verify(Array(secret.utf8), at: now) }
  }

  @Test func `tokens of the server are judged beside API keys`() throws {
    let authority = try TokenAuthority.generate()
    let (token, principal) = try authority.issue(subject: "sva1", ttl: .seconds(60), at: now)
    let credentials = Credentials(authority: authority, keys: APIKeys())
    #expect(try credentials.verify(Array(token.utf8), at: now) == principal)
  }

  @Test func `secrets are long, different and told apart from tokens`() throws {
    let (one, two) = (try APIKeys.makeSecret(), try APIKeys.makeSecret())
    #expect(one != two && one.utf8.count == 49 && one.hasPrefix("roost_"))
    #expect(APIKeys.hash("abc".utf8) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  }
}
