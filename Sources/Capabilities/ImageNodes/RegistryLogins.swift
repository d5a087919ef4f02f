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
  }

  /// nil when there is none for it: then it is asked without.
  func login(for registry: String) -> RegistryLogin? {
    guard let path, let data = FileManager.default.contents(atPath: path),
      let file = try? JSONDecoder().decode(File.self, from: data)
    else { return nil }
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
