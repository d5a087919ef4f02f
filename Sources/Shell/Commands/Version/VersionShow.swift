internal import ControlClient
internal import Domain

/// `roost version`
enum VersionShow {
  private struct Versions: Encodable {
    var client: String
    var server: VersionResource?
  }

  static let command: Command = Command(
    "version", "versions of this program and of the server",
    purpose: "Prints the version of this program and of the server it talks to.",
    flags: [Flag("client", .toggle, "only of this program; asks no server")],
    examples: ["roost version", "roost version --client"],
    run: { context in
      var versions = Versions(client: Shell.version)
      if !context.parsed.toggle("client") { versions.server = try context.client().version() }
      try context.show(versions, names: [Shell.version]) {
        var text = "roost \(versions.client)\n"
        if let server = versions.server {
          text += "server \(server.version), API \(server.api), Swift \(server.swift)\n"
        }
        return text
      }
    })
}
