internal import FoundationEssentials

/// Logins to registries as `docker login` keeps them: in a `config.json`, or with a program that it names.
struct DockerLogins {
  struct Login: Equatable {
    /// Host and port.
    var registry: String
    var user: String
    var password: String
  }

  private struct File: Decodable {
    struct Entry: Decodable {
      var auth: String?
      var username: String?
      var password: String?
      var identitytoken: String?
    }
    var auths: [String: Entry]?
    var credHelpers: [String: String]?
    var credsStore: String?
  }

  private struct Answer: Decodable {
    var user: String
    var password: String

    enum CodingKeys: String, CodingKey {
      case user = "Username"
      case password = "Secret"
    }
  }

  private(set) var logins: [Login] = []
  /// What could not be taken, in words.
  private(set) var problems: [String] = []
  private let ask: (_ program: String, _ verb: String, _ input: String) throws(CommandFailure) -> [UInt8]

  /// - Parameter ask: runs a credential helper; the bytes that it prints.
  init(
    _ bytes: [UInt8], path: String,
    ask: @escaping (_ program: String, _ verb: String, _ input: String) throws(CommandFailure) -> [UInt8]
  ) throws(CommandFailure) {
    self.ask = ask
    guard let file = try? JSONDecoder().decode(File.self, from: Data(bytes)) else {
      throw CommandFailure(.failed, "\(path) is not a configuration of Docker's (config.json)")
    }
    let helpers = file.credHelpers ?? [:]
    for (name, helper) in helpers.sorted(by: { $0.key < $1.key }) { take(name, from: helper) }
    for (name, entry) in (file.auths ?? [:]).sorted(by: { $0.key < $1.key }) where helpers[name] == nil {
      take(name, entry, store: file.credsStore)
    }
    if let store = file.credsStore, file.auths?.isEmpty ?? true { takeAll(from: store) }
  }

  private mutating func take(_ name: String, _ entry: File.Entry, store: String?) {
    let host = Self.host(name)
    if let user = entry.username, let password = entry.password {
      logins.append(Login(registry: host, user: user, password: password))
    } else if let auth = entry.auth, !auth.isEmpty {
      guard let bytes = Data(base64Encoded: auth), let text = String(validating: bytes, as: UTF8.self),
        let colon = text.firstIndex(of: ":")
      else {
        return problems.append("\(host): its login can't be read (auth is not the base64 of USER:PASSWORD)")
      }
      let password = String(text[text.index(after: colon)...])
      guard !password.isEmpty else { return refuseToken(host) }
      logins.append(Login(registry: host, user: String(text[..<colon]), password: password))
    } else if entry.identitytoken != nil {
      refuseToken(host)
    } else if let store {
      take(name, from: store)
    } else {
      problems.append("\(host): the file has no password for it; run docker login \(host)")
    }
  }

  private mutating func take(_ name: String, from helper: String) {
    let host = Self.host(name)
    do throws(CommandFailure) {
      let bytes = try ask("docker-credential-\(helper)", "get", name)
      guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(bytes)) else {
        return problems.append("\(host): docker-credential-\(helper) did not answer with a login")
      }
      guard answer.user != "<token>" else { return refuseToken(host) }
      logins.append(Login(registry: host, user: answer.user, password: answer.password))
    } catch { problems.append("\(host): \(error.message)") }
  }

  private mutating func takeAll(from store: String) {
    do throws(CommandFailure) {
      let bytes = try ask("docker-credential-\(store)", "list", "")
      let names = (try? JSONDecoder().decode([String: String].self, from: Data(bytes))) ?? [:]
      for name in names.keys.sorted() { take(name, from: store) }
    } catch { problems.append(error.message) }
  }

  private mutating func refuseToken(_ host: String) {
    problems.append(
      "\(host): its login is an identity token, which is not supported; use a user and a password")
  }

  /// `https://index.docker.io/v1/` → `docker.io`.
  static func host(_ name: String) -> String {
    var text = Substring(name)
    for scheme in ["https://", "http://"] where text.hasPrefix(scheme) { text = text.dropFirst(scheme.count) }
    let host = String(text.prefix { $0 != "/" })
    return ["index.docker.io", "registry-1.docker.io"].contains(host) ? "docker.io" : host
  }

  /// The name of the secret for a registry: `registry-ghcr-io`.
  static func secretName(_ registry: String) -> String {
    let words = registry.lowercased().split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }
    var name = "registry-" + words.joined(separator: "-")
    if name.utf8.count > 63 { name = String(name.prefix(63)) }
    while name.hasSuffix("-") { name.removeLast() }
    return name
  }
}
