import COpenSSL
import Domain
import Testing

@testable import Access

@Suite struct AssertionTests {
  static let pair = Result<KeyPair, PlatformError> { () throws(PlatformError) in try KeyPair.generate() }
  let now = Timestamp(seconds: 1_800_000_000)
  let pair: KeyPair
  let keys = AuthorizedKeys()

  init() throws {
    pair = try Self.pair.get()
    try keys.add(id: "key1", subject: "sva1", publicPEM: pair.publicPEM)
  }

  private func jwt(
    header: String = #"{"alg":"PS256","kid":"key1","typ":"JWT"}"#, iss: String = "sva1",
    aud: String = #""https://iam.localhost:45257/iam/v1/tokens""#, iat: String = "1800000000",
    exp: String = "1800003600", more: String = "", salt: Int32 = RSA_PSS_SALTLEN_DIGEST
  ) throws -> String {
    let claims = #"{"iss":"\#(iss)","aud":\#(aud),"iat":\#(iat),"exp":\#(exp)\#(more)}"#
    let text = "\(Base64URL.encode(header.utf8)).\(Base64URL.encode(claims.utf8))"
    return "\(text).\(Base64URL.encode(try sign(Array(text.utf8), salt: salt)))"
  }

  private func sign(_ message: [UInt8], salt: Int32) throws -> [UInt8] {
    let pem = Array(pair.privatePEM.utf8)
    let bio = BIO_new_mem_buf(pem, Int32(pem.count))
    let key = PEM_read_bio_PrivateKey(bio, nil, nil, nil)
    let context = EVP_MD_CTX_new()
    defer {
      BIO_free(bio)
      EVP_PKEY_free(key)
      EVP_MD_CTX_free(context)
    }
    var options: OpaquePointer?
    try #require(EVP_DigestSignInit(context, &options, EVP_sha256(), nil, key) == 1)
    try #require(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1)
    try #require(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, salt) == 1)
    var signature = [UInt8](repeating: 0, count: 512)
    var count = signature.count
    try #require(EVP_DigestSign(context, &signature, &count, message, message.count) == 1)
    return Array(signature.prefix(count))
  }

  private func refusal(_ jwt: String, at time: Timestamp? = nil, by keys: AuthorizedKeys? = nil) -> String {
    do {
      _ = try (keys ?? self.keys).verify(jwt, at: time ?? now)
      return "accepted"
    } catch {
      #expect(error.field == "jwt")
      return error.message
    }
  }

  @Test func `a JWT as the stock SDK makes it names its service account`() throws {
    let signer = try keys.verify(try jwt(), at: now)
    #expect(signer == AuthorizedKeys.Signer(keyID: "key1", subject: "sva1"))
  }

  @Test func `a JWT is good until it expires and not longer than an hour`() throws {
    #expect(refusal(try jwt(), at: now + .seconds(3599)) == "accepted")
    #expect(refusal(try jwt(), at: now + .seconds(3600)).contains("expired 0 s ago"))
    #expect(refusal(try jwt(exp: "1800003601")).contains("at most 3600 seconds"))
    #expect(refusal(try jwt(exp: "1800000000")).contains("after 'iat'"))
    #expect(refusal(try jwt(), at: now + .seconds(-60)) == "accepted")
    #expect(refusal(try jwt(), at: now + .seconds(-61)).contains("61 s ahead of the server's clock"))
    #expect(refusal(try jwt(iat: "-1", exp: "9223372036854775807")).contains("lacks 'iat' or 'exp'"))
    #expect(refusal(try jwt(more: #","nbf":1800000061"#)).contains("'nbf'"))
  }

  @Test func `times with a fraction and a list of audiences are taken`() throws {
    #expect(refusal(try jwt(iat: "1800000000.25", exp: "1.8000036e9")) == "accepted")
    let listed = #"["https://other.org/","https://iam.localhost/iam/v1/tokens"]"#
    #expect(refusal(try jwt(aud: listed)) == "accepted")
    #expect(refusal(try jwt(iat: "1800000000.", exp: "1800003600")).contains("three parts"))
    #expect(refusal(try jwt(iat: "1e400", exp: "1800003600")).contains("lacks 'iat'"))
  }

  @Test func `a signature by another key, another algorithm or another salt is refused`() throws {
    let good = try jwt()
    let broken = String(good.dropLast(8)) + "AAAAAAAA"
    #expect(refusal(broken).contains("not one of key key1"))
    #expect(refusal(try jwt(salt: 20)).contains("not one of key key1"))
    #expect(refusal(try jwt(header: #"{"alg":"RS256","kid":"key1"}"#)).contains("PS256"))
    #expect(refusal(try jwt(header: #"{"alg":"none","kid":"key1"}"#)).contains("PS256"))
    #expect(refusal(try jwt(header: #"{"alg":"PS256"}"#)).contains("kid"))
    #expect(refusal(try jwt(header: #"{"alg":"PS256","kid":"key1","crit":"x"}"#)).contains("crit"))
    #expect(refusal(try jwt(header: #"{"alg":"PS256","kid":"key2"}"#)).contains("unknown here"))
    #expect(refusal(try jwt(iss: "sva2")).contains("'iss'"))
    #expect(refusal(try jwt(more: #","sub":"sva2""#)).contains("'sub'"))
    #expect(refusal("").contains("three parts"))
    #expect(refusal(String(repeating: "a", count: 8001)).contains("8001 bytes; at most 8000"))
  }

  @Test func `the error queue of OpenSSL stays empty after a bad signature`() throws {
    _ = refusal(String(try jwt().dropLast(8)) + "AAAAAAAA")
    #expect(ERR_peek_error() == 0)
  }

  @Test(
    arguments: [
      (["localhost:8800"], "https://iam.localhost:8800/iam/v1/tokens", true),
      (["localhost"], "https://iam.localhost:45257/iam/v1/tokens", true),
      (["localhost:8800"], "https://iam.LOCALHOST/iam/v1/tokens", true),
      (["localhost"], "https://localhost/iam/v1/tokens", true),
      (["localhost"], "https://iam.example.org/iam/v1/tokens", false),
      (["localhost"], "https://xiam.localhost/iam/v1/tokens", false),
      (["[::1]:8800"], "https://iam.[::1]:8800/iam/v1/tokens", true),
      (["[::1]"], "https://iam.[::1]/iam/v1/tokens", true),
      ([], "https://iam.anything.org:1/iam/v1/tokens", true),
      ([], "https://iam.anything.org:0/iam/v1/tokens", false),
      ([], "https://iam.any/thing/iam/v1/tokens", false),
      ([], "https:///iam/v1/tokens", false),
      ([], "https:/iam/v1/tokens", false),
      ([], "http://iam.localhost/iam/v1/tokens", false),
    ] as [([String], String, Bool)])
  func `audiences are compared by host, with or without port`(
    endpoints: [String], audience: String, allowed: Bool
  ) throws {
    #expect(AssertionAudiences(endpoints: endpoints).allows(audience) == allowed)
  }

  @Test func `a removed key is refused at once and keeps no token`() throws {
    let keys = AuthorizedKeys()
    try keys.add(id: "key1", subject: "sva1", publicPEM: pair.publicPEM)
    let signer = try keys.verify(try jwt(), at: now)
    let token = AuthorizedKeys.IssuedToken(
      token: "t", tokenID: "id", issuedAt: now, expiresAt: now + .seconds(60))
    keys.keep(token, of: signer)
    #expect(keys.token(of: signer) == token)
    keys.forget(tokenID: "id")
    #expect(keys.token(of: signer) == nil)
    keys.remove(id: "key1")
    keys.keep(token, of: signer)
    #expect(keys.token(of: signer) == nil)
    #expect(refusal(try jwt(), by: keys).contains("deleted"))
    try keys.add(id: "key1", subject: "sva1", publicPEM: pair.publicPEM)
    keys.remove(subject: "sva1")
    #expect(refusal(try jwt(), by: keys).contains("deleted"))
  }

  @Test func `what is no RSA key in PEM is refused`() throws {
    for text in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", pair.privatePEM] {
      let error = try #require(throws: PlatformError.self) {
        try keys.add(id: "key9", subject: "sva1", publicPEM: text)
      }
      #expect(error.code == .invalidArgument)
    }
  }
}
