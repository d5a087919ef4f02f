internal import ControlClient
internal import FoundationEssentials

/// Named servers of the user, in `$XDG_CONFIG_HOME/roost/config.json` (0600).
struct Profiles: Codable, Equatable {
  struct Profile: Codable, Equatable {
    var url: String?
    var tokenFile: String?
  }

  var current: String?
  var profiles: [String: Profile] = [:]

  static func path(_ environment: [String: String]) -> String {
    let base = environment["XDG_CONFIG_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil }
    return (base ?? (environment["HOME"] ?? "/root") + "/.config") + "/roost/config.json"
  }

  static func load(_ environment: [String: String]) throws(CommandFailure) -> Profiles {
    let path = path(environment)
    guard LocalFile.exists(path) else { return Profiles() }
    let bytes = try LocalFile.read(path)
    do { return try JSONDecoder().decode(Profiles.self, from: Data(bytes)) } catch {
      throw CommandFailure(.failed, "\(path) is not a valid configuration; remove it or repair it")
    }
  }

  func save(_ environment: [String: String]) throws(CommandFailure) {
    try LocalFile.writePrivate(try Rendered.json(self).pretty + "\n", to: Self.path(environment))
  }
}
