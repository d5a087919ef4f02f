import COpenSSL
import Domain
import Testing

@testable import Access

@Suite struct TokenTests {
  let now = Timestamp(seconds: 1_800_000_000)
  let authority: TokenAuthority

  init() throws { authority = try TokenAuthority.generate() }

  private func message(_ token: String, at time: Timestamp? = nil) -> String {
    do {
      _ = try authority.verify(Array(token.utf8), at: time ?? now)
      return "accepted"
    } catch {
      #expect(error.code == .unauthenticated)
      return error.message
    }
  }

  private func signed(header: String, claims: String, by key: SigningKey) throws -> String {
    let text = "\(Base64URL.encode(header.utf8)).\(Base64URL.encode(claims.utf8))"
    return "\(text).\(Base64URL.encode(try key.sign(Array(text.utf8))))"
  }

  @Test func `a token of this server is accepted until it expires`() throws {
    let (token, principal) = try authority.issue(subject: "sva1", ttl: .seconds(3600), at: now)
    let seen = try authority.verify(Array(token.utf8), at: now + .seconds(3599))
    #expect(seen == principal)
    #expect(seen.subject == "sva1" && seen.expiresAt == now + .seconds(3600))
    #expect(
      message(token, at: now + .seconds(3600)).hasPrefix("the token expired at 2027-01-15T09:00:00.000Z"))
  }

  @Test func `an expired token is still known, a forged or foreign one is not`() throws {
    let (token, principal) = try authority.issue(subject: "sva1", ttl: .seconds(1), at: now + .seconds(-9999))
    #expect(try authority.identify(Array(token.utf8)) == principal)
    #expect(throws: PlatformError.self) {
      try authority.identify(Array((token.dropLast(9) + "AAAAAAAAA").utf8))
    }
    let other = try TokenAuthority.generate().issue(subject: "sva1", ttl: .seconds(60), at: now).token
    #expect(throws: PlatformError.self) { try authority.identify(Array(other.utf8)) }
    let session = try authority.issueSession(
      for: authority.issue(subject: "sva1", ttl: .seconds(60), at: now).principal, node: "n", at: now)
    #expect(throws: PlatformError.self) { try authority.identify(Array(session.session.utf8)) }
  }

  @Test func `a token survives a restart with the kept key`() throws {
    let (token, principal) = try authority.issue(subject: "sva1", ttl: .seconds(60), at: now)
    let restarted = try TokenAuthority(privateKeyPEM: authority.privateKeyPEM())
    #expect(try restarted.verify(Array(token.utf8), at: now) == principal)
  }

  @Test func `a clock behind by at most a minute is forgiven`() throws {
    let (token, _) = try authority.issue(subject: "sva1", ttl: .seconds(60), at: now)
    #expect(message(token, at: now + .seconds(-60)) == "accepted")
    #expect(message(token, at: now + .seconds(-61)).contains("is valid from"))
  }

  @Test(arguments: [Duration.seconds(0), .seconds(-1), .seconds(12 * 3600 + 1)])
  func `a life outside 1 second to 12 hours is refused`(ttl: Duration) throws {
    let error = try #require(throws: PlatformError.self) {
      try authority.issue(subject: "sva1", ttl: ttl, at: now)
    }
    #expect(error.code == .invalidArgument && error.field == "ttl")
  }

  @Test func `a token of another server is refused`() throws {
    let other = try TokenAuthority.generate()
    let (token, _) = try other.issue(subject: "sva1", ttl: .seconds(60), at: now)
    #expect(message(token).contains("made by another server"))
  }

  @Test func `algorithms other than EdDSA are refused`() throws {
    for algorithm in ["none", "HS256", "eddsa", "RS256"] {
      let header = #"{"alg":"\#(algorithm)","typ":"JWT"}"#
      let token = "\(Base64URL.encode(header.utf8)).\(Base64URL.encode("{}".utf8))."
      #expect(message(token).contains("the token's algorithm is '\(algorithm)'"))
    }
  }

  @Test func `any changed byte is refused`() throws {
    let (token, _) = try authority.issue(subject: "sva1", ttl: .seconds(60), at: now)
    let bytes = Array(token.utf8)
    for index in bytes.indices {
      var changed = bytes
      changed[index] = changed[index] == 0x41 ? 0x42 : 0x41
      #expect(throws: PlatformError.self) { try authority.verify(changed, at: now) }
    }
  }

  @Test(arguments: [
    "", "a", "a.b", "a.b.c.d", "..", "!.!.!", "e30.e30.e30", "{}.{}.{}", "eyJhbGciOiJFZERTQSJ9=.e30.e30",
    String(repeating: "a", count: 5000),
  ])
  func `malformed tokens are refused with a reason`(token: String) {
    let text = message(token)
    #expect(text.contains("malformed") || text.contains("empty"))
    #expect(text.hasSuffix("make a new one with 'roost token create'"))
  }

  @Test(arguments: [
    #"{"iss":"roost","sub":"s","iat":1,"nbf":1,"exp":9999999999}"#,
    #"{"iss":"else","sub":"s","jti":"j","iat":1,"nbf":1,"exp":9999999999}"#,
    #"{"iss":"roost","sub":"","jti":"j","iat":1,"nbf":1,"exp":9999999999}"#,
    #"{"iss":"roost","sub":"s","jti":"j","iat":1,"nbf":1,"exp":"9999999999"}"#,
    #"{"iss":"roost","sub":"s","jti":"j","iat":1,"nbf":1,"exp":1e12}"#,
    #"{"iss":"roost","sub":"s","jti":"j","iat":1,"nbf":1,"exp":9223372036854775807}"#,
    #"{"iss":"roost","sub":"s","sub":"t","jti":"j","iat":1,"nbf":1,"exp":9999999999}"#,
    #"{"iss":"roost","sub":["s"],"jti":"j","iat":1,"nbf":1,"exp":9999999999}"#,
    #"{"iss":"roost","sub":"s","jti":"j","iat":1,"nbf":1,"exp":9999999999}x"#,
    #"{"sub":"s","jti":"j","exp":9999999999}"#,
    #"{"sub":"s","jti":"j","iat":1,"nbf":"1","exp":9999999999}"#,
    "[]", "",
  ])
  func `well signed but wrong claims are refused`(claims: String) throws {
    let key = try SigningKey(pem: authority.privateKeyPEM())
    let header = #"{"alg":"EdDSA","typ":"JWT","kid":"\#(key.id)"}"#
    #expect(message(try signed(header: header, claims: claims, by: key)).contains("malformed"))
  }

  @Test func `tokens of former versions stay good, with their own start`() throws {
    let key = try SigningKey(pem: authority.privateKeyPEM())
    let header = #"{"alg":"EdDSA","typ":"JWT","kid":"\#(key.id)"}"#
    let claims = #"{"iss":"roost","sub":"s","jti":"j","iat":1,"nbf":\#(now.seconds),"exp":9999999999}"#
    let token = try signed(header: header, claims: claims, by: key)
    #expect(message(token) == "accepted")
    #expect(message(token, at: now + .seconds(-61)).contains("is valid from"))
  }

  @Test func `a header that names another key is refused, whoever signed it`() throws {
    let key = try SigningKey(pem: authority.privateKeyPEM())
    let claims = #"{"sub":"s","jti":"j","iat":\#(now.seconds),"exp":9999999999}"#
    for (header, verdict) in [
      (#"{"alg":"EdDSA"}"#, "accepted"), (#"{"alg":"EdDSA","kid":"\#(key.id)"}"#, "accepted"),
      (#"{"alg":"EdDSA","kid":"other"}"#, "made by another server"),
      (#"{"alg":"EdDSA","kid":1}"#, "made by another server"),
    ] {
      #expect(message(try signed(header: header, claims: claims, by: key)).contains(verdict))
    }
  }

  @Test func `a session ends with its token, carries its id, and is never taken for one`() throws {
    let (token, principal) = try authority.issue(subject: "sva1", ttl: .seconds(600), at: now)
    let (session, owner) = try authority.issueSession(for: principal, node: "nod1", at: now + .seconds(500))
    let seen = try authority.verifySession(Array(session.utf8), at: now + .seconds(599))
    #expect(seen == owner && seen.node == "nod1" && seen.mayOnlyCall)
    #expect(seen.subject == "sva1" && seen.tokenID == principal.tokenID)
    #expect(seen.expiresAt == now + .seconds(600))
    #expect(throws: PlatformError.self) {
      try authority.verifySession(Array(session.utf8), at: now + .seconds(600))
    }
    #expect(message(session).contains("typ"))
    #expect(throws: PlatformError.self) { try authority.verifySession(Array(token.utf8), at: now) }
  }

  @Test func `a session made with a key that never ends lives 12 hours`() throws {
    let key = Principal(subject: "sva1", tokenID: "key1", expiresAt: Timestamp(seconds: 4_000_000_000))
    let (_, owner) = try authority.issueSession(for: key, node: "nod1", at: now)
    #expect(owner.expiresAt == now + .seconds(12 * 3600))
  }

  @Test func `a key that is not Ed25519 in PEM is refused`() {
    #expect(throws: PlatformError.self) { try TokenAuthority(privateKeyPEM: "nonsense") }
  }
}

@Suite struct Base64URLTests {
  @Test func `bytes survive and text has one spelling`() {
    for count in 0..<40 {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 77 &+ 13) }
      #expect(Base64URL.decode(Base64URL.encode(bytes).utf8) == bytes)
    }
    #expect(Base64URL.decode("QQ".utf8) == [0x41])
    #expect(Base64URL.decode("QR".utf8) == nil)
    #expect(Base64URL.decode("QQ==".utf8) == nil)
    #expect(Base64URL.decode("Q".utf8) == nil)
    #expect(Base64URL.decode("+/".utf8) == nil)
  }
}
