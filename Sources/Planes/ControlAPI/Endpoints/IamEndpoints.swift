import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// The token service as compatible clients know it. What is exchanged or revoked is the credential; only making a token for
/// somebody else needs one beside it.
enum IamEndpoints {
  /// Both spellings, since JSON of protocol buffers may come in either.
  private struct Exchange: Decodable {
    var jwt: String?
    var yandexPassportOauthToken: String?
    var snakeCaseToken: String?

    enum CodingKeys: String, CodingKey {
      case jwt, yandexPassportOauthToken
      case snakeCaseToken = "yandex_passport_oauth_token"
    }
  }

  private struct Revocation: Decodable {
    var iamToken: String?
    var snakeCaseToken: String?

    enum CodingKeys: String, CodingKey {
      case iamToken
      case snakeCaseToken = "iam_token"
    }
  }

  private struct ForAccount: Decodable {
    var serviceAccountId: String?
    var snakeCaseID: String?

    enum CodingKeys: String, CodingKey {
      case serviceAccountId
      case snakeCaseID = "service_account_id"
    }
  }

  /// Nil when the target is something else.
  static func answer(
    _ target: Target, _ request: HTTPRequest, _ responder: APIResponder, _ api: APIWorld
  ) async -> HTTPResponse? {
    guard target.segments == ["iam", "v1", "tokens"], request.method == "POST" else { return nil }
    do throws(PlatformError) {
      switch target.verb {
      case nil:
        let body = try StrictBody.decode(Exchange.self, from: request.body)
        return try Answer.json(
          try await api.exchange.exchange(
            jwt: body.jwt, oauthToken: body.yandexPassportOauthToken ?? body.snakeCaseToken))
      case "revoke":
        let body = try StrictBody.decode(Revocation.self, from: request.body)
        let token = try one("iamToken", body.iamToken, body.snakeCaseToken)
        return try Answer.json(RevokedTokenResource(subjectId: try await revoke(token, request, api)))
      case "createForServiceAccount":
        let body = try StrictBody.decode(ForAccount.self, from: request.body)
        let call = try await responder.call(request, segments: [])
        let account = try one("serviceAccountId", body.serviceAccountId, body.snakeCaseID)
        return try Answer.json(try await issue(for: account, call, api))
      default: return nil
      }
    } catch { return Answer.status(error) }
  }

  /// Ends a token at once and for good; the answer is whose it was. Who holds a token may end it, so nothing else is asked
  /// for. Ending it twice, or when it has expired, is no error.
  static func revoke(_ token: String, _ request: HTTPRequest, _ api: APIWorld) async throws(PlatformError)
    -> String
  {
    let principal: Principal
    do throws(PlatformError) { principal = try api.authority.identify(Array(token.utf8)) } catch {
      throw .invalid("iam_token", "iam_token: \(error.message)")
    }
    let now = api.world.now()
    let record = TokenRecord(
      id: principal.tokenID, subject: principal.subject, createdAt: now, expiresAt: principal.expiresAt,
      description: "revoked")
    // Who sends a dead token again and again makes no work.
    guard try await api.store.revokeToken(record, at: now) else { return principal.subject }
    api.exchange.revoked(tokenID: principal.tokenID)
    await api.fleet.accessChanged()
    try await Audit.record("RevokeIamToken", principal.tokenID, by: principal.subject, request, api)
    return principal.subject
  }

  /// A token of a service account, for an admin of its folder.
  static func issue(for account: String, _ call: Call, _ api: APIWorld) async throws(PlatformError)
    -> ExchangedTokenResource
  {
    let made = try await TokenEndpoints.issue(
      CreateTokenRequest(
        ttlSeconds: Int(TokenAuthority.maximumTTL.components.seconds), serviceAccount: account,
        description: "made by \(call.subject)"), call, api)
    return ExchangedTokenResource(iamToken: made.iamToken ?? "", expiresAt: made.expiresAt)
  }

  private static func one(_ name: String, _ values: String?...) throws(PlatformError) -> String {
    let given = values.compactMap { $0 }.filter { !$0.isEmpty }
    guard given.count == 1 else {
      throw .invalid(name, given.isEmpty ? "\(name): missing" : "\(name): given in two spellings; send one")
    }
    return given[0]
  }
}
