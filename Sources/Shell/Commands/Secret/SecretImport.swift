internal import ControlClient
internal import Domain

/// `roost secret import-docker-config`
enum SecretImport {
  private struct Imported: Encodable {
    var registry: String
    var user: String
    var secret: String
    var flags: String
  }

  static let command: Command = Command(
    "secret import-docker-config", "logins of docker login as secrets",
    purpose:
      "Makes a secret of the password of each login in a config.json of Docker's, and shows the flags of roost node create that use it. Logins that a credential helper keeps are asked of it.",
    arguments: [
      Positional("FILE", "(~/.docker/config.json, or config.json in DOCKER_CONFIG)", required: false)
    ],
    flags: [
      Flag("folder", .text, value: "FOLDER", "owner, id or name (default)"),
      Flag("replace", .toggle, "give secrets that exist already the passwords found"),
    ],
    examples: ["roost secret import-docker-config"],
    run: { context in
      let environment = context.surroundings.environment
      let home = environment["DOCKER_CONFIG"] ?? (environment["HOME"] ?? "/root") + "/.docker"
      let path = context.positionals.first ?? home + "/config.json"
      let found = try DockerLogins(try LocalFile.read(path), path: path) {
        (program, verb, input) throws(CommandFailure) in
        try HelperProgram(name: program).run([verb], input: input, timeout: .seconds(20))
      }
      let client = try context.client()
      var problems = found.problems
      var imported: [Imported] = []
      for login in found.logins {
        let name = DockerLogins.secretName(login.registry)
        guard try keep(login, name, context, client) else {
          problems.append(
            "\(login.registry): secret \(name) exists already; --replace gives it the password found")
          continue
        }
        imported.append(
          Imported(
            registry: login.registry, user: login.user, secret: name,
            flags: "--registry-user \(login.user) --registry-password-secret \(name)"))
      }
      if !imported.isEmpty {
        try context.show(imported, names: imported.map(\.secret)) {
          var table = Table("REGISTRY", "SECRET", "FLAGS")
          for item in imported { table.add(item.registry, item.secret, item.flags) }
          return table.text
        }
      }
      guard problems.isEmpty, !imported.isEmpty else {
        throw CommandFailure(
          .failed,
          problems.isEmpty
            ? "there is no login in \(path)"
            : "\(problems.count) of \(problems.count + imported.count) logins were not imported",
          details: problems)
      }
    })

  /// False when there is such a secret already, and it is not to be replaced.
  private static func keep(
    _ login: DockerLogins.Login, _ name: String, _ context: Context, _ client: ControlClient
  ) throws -> Bool {
    let description = "password of \(login.user) for \(login.registry)"
    let folder = context.parsed.text("folder") ?? "default"
    guard let known = try client.secrets(folder: folder).items.first(where: { $0.name == name }) else {
      _ = try client.createSecret(
        CreateSecretRequest(name: name, folder: folder, description: description, value: login.password))
      return true
    }
    guard context.parsed.toggle("replace") else { return false }
    _ = try client.updateSecret(
      known.id.text, UpdateSecretRequest(description: description, value: login.password),
      fields: ["description", "value"])
    return true
  }
}
