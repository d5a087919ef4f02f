internal import ControlClient
internal import Domain

let environmentFolderFlag = Flag("folder", .text, value: "FOLDER", "id or name of its folder")

/// `roost environment create`
enum EnvironmentCreate {
  static let command: Command = Command(
    "environment create", "interpreter and packages for cell nodes",
    purpose:
      "Makes an environment that cell nodes run in: a virtual environment of a requirements file or a lock, or the files of a container image. It is resolved, downloaded and compiled now, never when a node runs, and doesn't change afterwards.",
    arguments: [Positional("NAME", "3 to 63 characters a-z, 0-9 and -")],
    flags: [
      Flag("requirements", .text, value: "FILE", "packages, one a line; - is standard input"),
      Flag(
        "lock", .text, value: "FILE", "the same with versions and hashes (uv pip compile --generate-hashes)"),
      Flag(
        "preset", .choice(EnvironmentRequirements.presets.keys.sorted()),
        "a list of packages, with which the requirements go together",
        repeatable: true),
      Flag(
        "image", .text, value: "REFERENCE", "a container image in place of packages: its files and its Python"
      ),
      Flag(
        "registry-user", .text, value: "USER",
        "who asks the image's registry, with --registry-password-secret (json_key)"),
      Flag(
        "registry-password-secret", .text, value: "SECRET", "the secret with the password for the registry"),
      Flag("python", .text, value: "X.Y", "minor version of Python (the server's)"),
      Flag("index-url", .text, value: "URL", "package index (the server's, PyPI)"),
      Flag(
        "find-links", .text, value: "URL|FOLDER",
        "also take wheels from here; a folder must be one that the server was started with (--wheels)",
        repeatable: true),
      Flag("offline", .toggle, "ask no index: all comes from folders of wheels and --find-links"),
      Flag(
        "allow-source", .toggle,
        "build packages that have no wheel, which runs their code in the build's sandbox"),
      Flag("description", .text, "what it is for"), environmentFolderFlag,
    ] + OperationWaiter.flags,
    examples: [
      "roost environment create forecast --requirements requirements.txt --wait",
      "roost environment create forecast-locked --lock requirements.lock --python 3.12 --wait",
      "roost environment create torch --preset torch --wait",
    ],
    run: { context in
      let parsed = context.parsed
      let links = parsed.texts("find-links")
      let presets = parsed.texts("preset")
      let request = CreateEnvironmentRequest(
        name: context.first, description: parsed.text("description"), folder: parsed.text("folder"),
        requirements: try text("requirements", context), lock: try text("lock", context),
        presets: presets.isEmpty ? nil : presets, python: parsed.text("python"),
        indexUrl: parsed.text("index-url"), findLinks: links.isEmpty ? nil : links,
        offline: parsed.toggle("offline") ? true : nil,
        allowSource: parsed.toggle("allow-source") ? true : nil, image: parsed.text("image"),
        registryUser: parsed.text("registry-user"), passwordSecret: parsed.text("registry-password-secret"))
      guard
        request.requirements != nil || request.lock != nil || request.presets != nil || request.image != nil
      else {
        throw CommandFailure.usage(
          "give --requirements FILE, --lock FILE, --preset NAME or --image REFERENCE",
          EnvironmentCreate.command)
      }
      let client = try context.client()
      let operation = try client.createEnvironment(request)
      guard parsed.toggle("wait") || parsed.toggle("wait-timeout") else {
        return try context.follow(operation, name: request.name)
      }
      _ = try await OperationWaiter(client: client, context: context).end(of: operation)
      let made = try client.environment(operation.resourceId ?? request.name)
      try context.show(made, names: [made.name]) { EnvironmentGet.text(made, context) }
    })

  private static func text(_ flag: String, _ context: Context) throws(CommandFailure) -> String? {
    guard let path = context.parsed.text(flag) else { return nil }
    let bytes = path == "-" ? LocalFile.read(descriptor: 0) : try LocalFile.read(path)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw CommandFailure(.failed, "--\(flag): \(path) is not UTF-8")
    }
    return text
  }
}

extension Context {
  /// What a change prints that is not waited for.
  fileprivate func follow(_ operation: OperationResource, name: String) throws {
    try show(operation, names: [format == .name ? name : operation.id.text]) {
      "\(operation.description): operation \(operation.id)"
        + (isQuiet ? "\n" : "; wait for it with: roost operation wait \(operation.id)\n")
    }
  }
}
