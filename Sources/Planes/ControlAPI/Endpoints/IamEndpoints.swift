import Domain
import HTTPModel

/// The token service as compatible clients know it. It needs no token: what is sent is the credential.
enum IamEndpoints {
  /// Both spellings, since JSON of protocol buffers may come in either.
  private struct Body: Decodable {
    var jwt: String?
    var yandexPassportOauthToken: String?
    var snakeCaseToken: String?

    enum CodingKeys: String, CodingKey {
      case jwt, yandexPassportOauthToken
      case snakeCaseToken = "yandex_passport_oauth_token"
    }
  }

  /// Nil when the target is something else.
  static func answer(_ target: Target, _ request: HTTPRequest, _ api: APIWorld) async -> HTTPResponse? {
    guard target.segments == ["iam", "v1", "tokens"], target.verb == nil, request.method == "POST" else {
      return nil
    }
    do throws(PlatformError) {
      let body = try StrictBody.decode(Body.self, from: request.body)
      let token = try await api.exchange.exchange(
        jwt: body.jwt, oauthToken: body.yandexPassportOauthToken ?? body.snakeCaseToken)
      return try Answer.json(token)
    } catch { return Answer.status(error) }
  }
}
