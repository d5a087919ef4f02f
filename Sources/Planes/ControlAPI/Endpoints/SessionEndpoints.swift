import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Sessions of browsers: `/nodes/{id}/session`, `/aliases/{name}/session`, and `/.roost/session` on the host of either.
///
/// A browser that proved a token here gets a cookie for one node or alias, because it can't send a header with a page, an
/// EventSource or a WebSocket. The gateway takes it in place of `Authorization` (docs/access.md).
enum SessionEndpoints {
  static let cookieName = "roost-session"

  private struct Place {
    /// Id of a node, or id or name of an alias.
    var name: String
    var isAlias = false
    /// What the cookie is sent with.
    var cookiePath: String
    /// Where to go once signed in.
    var home: String
  }

  /// Nil when the target is something else.
  static func answer(
    _ target: Target, _ request: HTTPRequest, _ responder: APIResponder, _ api: APIWorld
  ) async throws(PlatformError) -> HTTPResponse? {
    guard let place = place(target, request, api.aliasDomain) else { return nil }
    switch request.method {
    case "GET", "HEAD": return page(nil, status: 200)
    case "POST": return try await begin(place, request, responder, api)
    case "DELETE":
      try checkOrigin(request)
      return cookie("", place, request, seconds: 0, HTTPResponse(status: 204))
    default:
      throw PlatformError(
        .unimplemented, "\(request.method) is not allowed here; use GET, POST, DELETE", origin: .caller)
    }
  }

  private static func place(_ target: Target, _ request: HTTPRequest, _ aliasDomain: String) -> Place? {
    guard target.verb == nil else { return nil }
    if target.segments.count == 3, target.segments[0] == "aliases", target.segments[2] == "session" {
      // As the gateway takes it: the path of the cookie must be the one that the caller uses.
      let name = target.segments[1]
      guard isName(name) else { return nil }
      let path = "/aliases/\(name)/proxy"
      return Place(name: name, isAlias: true, cookiePath: path, home: path + "/")
    }
    if target.segments.count == 3, target.segments[0] == "nodes", target.segments[2] == "session" {
      // A cookie's path must not hold what the caller likes.
      guard let id = NodeID(target.segments[1]) else { return nil }
      let path = "/nodes/\(id)/proxy"
      return Place(name: id.text, cookiePath: path, home: path + "/")
    }
    guard target.segments == [".roost", "session"], let host = request.header("host") else { return nil }
    if let name = alias(of: host, aliasDomain) {
      return Place(name: name, isAlias: true, cookiePath: "/", home: "/")
    }
    let labels = host.split(separator: ".", maxSplits: 2)
    guard labels.count == 3, labels[1].lowercased() == "nodes", let id = NodeID(String(labels[0])) else {
      return nil
    }
    return Place(name: id.text, cookiePath: "/", home: "/")
  }

  /// What names may be made of: a cookie's path must not hold what the caller likes.
  private static func isName(_ text: String) -> Bool {
    text.utf8.allSatisfy {
      (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d || $0 == 0x2e || $0 == 0x5f
    }
  }

  private static func alias(of host: String, _ domain: String) -> String? {
    let name = host.lowercased().prefix { $0 != ":" }
    guard !domain.isEmpty, name.hasSuffix(".\(domain)") else { return nil }
    let first = String(name.dropLast(domain.count + 1))
    return first.isEmpty || first.contains(".") || !isName(first) ? nil : first
  }

  private static func begin(
    _ place: Place, _ request: HTTPRequest, _ responder: APIResponder, _ api: APIWorld
  ) async throws(PlatformError) -> HTTPResponse {
    try checkOrigin(request)
    guard let token = try token(of: request) else {
      return try await begin(place, request, request, responder, api)
    }
    // The form's token is judged as the header would be.
    var asked = request
    asked.headers.append((name: "authorization", value: token))
    do throws(PlatformError) {
      var answer = try await begin(place, request, asked, responder, api)
      answer.status = 303
      answer.headers.append((name: "location", value: place.home))
      return answer
    } catch { return page(error.message, status: error.code.httpStatus) }
  }

  private static func begin(
    _ place: Place, _ request: HTTPRequest, _ asked: HTTPRequest, _ responder: APIResponder, _ api: APIWorld
  ) async throws(PlatformError) -> HTTPResponse {
    let principal = try await responder.authenticate(asked)
    let call = try await responder.call(asked, of: principal, segments: [place.name])
    let id: String
    if place.isAlias {
      id = try await AliasEndpoints.callable(call, api).text
    } else {
      id = try await NodeEndpoints.find(call, .call, api).id.text
    }
    let now = api.world.now()
    let issued = try api.authority.issueSession(for: principal, node: id, at: now)
    let seconds = issued.principal.expiresAt.seconds - now.seconds
    return cookie(issued.session, place, request, seconds: seconds, HTTPResponse(status: 204))
  }

  /// The credential of the form, as the value of `Authorization`; nil when the body is no form.
  private static func token(of request: HTTPRequest) throws(PlatformError) -> String? {
    let type = request.header("content-type") ?? ""
    guard type.lowercased().hasPrefix("application/x-www-form-urlencoded"),
      request.header("authorization") == nil
    else { return nil }
    // Read as a query is: the same escapes, each name once.
    let form = try Target("/?" + String(decoding: request.body, as: UTF8.self)).query
    let text = (form["token"] ?? "").filter { !$0.isWhitespace }
    return text.hasPrefix(APIKeys.prefix) ? "Api-Key \(text)" : "Bearer \(text)"
  }

  /// Nobody may be signed in by another's page.
  private static func checkOrigin(_ request: HTTPRequest) throws(PlatformError) {
    guard let origin = request.header("origin")?.lowercased() else { return }
    let host = (request.header("host") ?? "").lowercased()
    guard origin == "http://\(host)" || origin == "https://\(host)" else {
      throw PlatformError(
        .permissionDenied,
        "origin: sessions are begun and ended by pages of this host only, not of '\(origin)'",
        origin: .caller, field: "origin")
    }
  }

  private static func cookie(
    _ value: String, _ place: Place, _ request: HTTPRequest, seconds: Int64, _ answer: HTTPResponse
  ) -> HTTPResponse {
    var answer = answer
    let secure = request.isTLS ? "; Secure" : ""
    let text =
      "\(cookieName)=\(value); Path=\(place.cookiePath); Max-Age=\(seconds); HttpOnly; SameSite=Strict\(secure)"
    answer.headers.append((name: "set-cookie", value: text))
    answer.headers.append((name: "cache-control", value: "no-store"))
    return answer
  }

  private static func page(_ problem: String?, status: Int) -> HTTPResponse {
    let escaped = (problem ?? "").reduce(into: "") { text, character in
      switch character {
      case "<": text += "&lt;"
      case "&": text += "&amp;"
      default: text.append(character)
      }
    }
    let html = """
      <!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
      <title>Sign in</title>
      <style>body{font:16px/1.5 system-ui,sans-serif;max-width:30rem;margin:15vh auto;padding:0 1rem}
      input,button{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;margin:.5rem 0}
      [role=alert]{color:#b00020}code{background:#eee;padding:0 .2em}</style>
      <h1>Sign in</h1>
      <p>Paste an IAM token (<code>roost token create</code>) or an API key. This browser then may call
      this page's node or alias, and no other, until the token ends.</p>
      \(problem == nil ? "" : "<p role=\"alert\">\(escaped)</p>")
      <form method="post"><label>Token <input type="password" name="token" required autofocus
      autocomplete="off"></label><button>Sign in</button></form></html>

      """
    var answer = Answer.text(html, type: "text/html; charset=utf-8", status: status)
    answer.headers += [
      (name: "cache-control", value: "no-store"),
      (
        name: "content-security-policy",
        value: "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
      ),
      (name: "referrer-policy", value: "same-origin"), (name: "x-content-type-options", value: "nosniff"),
    ]
    return answer
  }
}
