import Domain
import FoundationEssentials

/// Logins to registries as `docker login` keeps them (`~/.docker/config.json`, member `auths`).
struct RegistryLogins {
  let path: String?

  private struct File: Decodable {
    struct Entry: Decodable {
      var auth: String?
      var username: String?
      var password: String?
    }
    var auths: [String: Entry]?
    /// For one registry, and for all others.
    var credHelpers: [String: String]?
    var credsStore: String?
  }

  private var file: File? {
    path.flatMap { FileManager.default.contents(atPath: $0) }
      .flatMap { try? JSONDecoder().decode(File.self, from: $0) }
  }

  /// The program that keeps the login for a registry instead of the file; it is not run here.
  func helper(for registry: String) -> String? {
    guard let file else { return nil }
    return (file.credHelpers?[registry] ?? file.credsStore).map { "docker-credential-\($0)" }
  }

  /// nil when there is none for it: then it is asked without.
  func login(for registry: String) -> RegistryLogin? {
    guard let file else { return nil }
    let hub = "https://index.docker.io/v1/"
    let names =
      [
        registry, "https://\(registry)", "http://\(registry)", "https://\(registry)/v1/",
        "https://\(registry)/v2/",
      ]
      + (registry == ImageReference.dockerHub ? [hub, "index.docker.io"] : [])
    guard let entry = names.lazy.compactMap({ file.auths?[$0] }).first else { return nil }
    if let user = entry.username, let password = entry.password {
      return RegistryLogin(user: user, password: password, registry: registry)
    }
    guard let auth = entry.auth, let bytes = Data(base64Encoded: auth),
      let text = String(data: bytes, encoding: .utf8), let colon = text.firstIndex(of: ":")
    else { return nil }
    return RegistryLogin(
      user: String(text[..<colon]), password: String(text[text.index(after: colon)...]), registry: registry)
  }
}
