import Domain
import DriverAPI

/// What an instance's secrets are, ready for its container.
struct InstanceSecrets: Sendable {
  var variables: [String: String] = [:]
  /// Path in the container and on the machine.
  var files: [(target: String, source: String)] = []
}

extension ImageDriver {
  var secretFiles: SecretFiles {
    // Each zone removes what its engine has no container for.
    SecretFiles(owner: configuration.place == 0 ? owner : "\(owner)-\(zone)")
  }

  /// Gets the values for a new instance, and writes those that are files.
  func secrets(
    of instance: InstanceID, _ launch: NodeLaunch, _ source: ImageSource, _ words: ImageWords
  ) async throws(DriverFailure) -> InstanceSecrets {
    var result = InstanceSecrets()
    for (name, secret) in (source.secrets ?? [:]).sorted(by: { $0.key < $1.key }) {
      let value = try await value(secret, for: "image.secrets.\(name)", launch, words)
      guard let text = String(validating: value, as: UTF8.self), !text.utf8.contains(0) else {
        throw words.failure(
          .launch, .refused,
          "image.secrets.\(name): the value of secret '\(secret)' has bytes that a variable can't hold; give it as a file: --secret-file /PATH=\(secret)"
        )
      }
      result.variables[name] = text
    }
    let wanted = (source.secretFiles ?? [:]).sorted { $0.key < $1.key }
    guard !wanted.isEmpty else { return result }
    var contents: [[UInt8]] = []
    for (path, secret) in wanted {
      contents.append(try await value(secret, for: "image.secretFiles.\(path)", launch, words))
    }
    do throws(SecretFiles.Failure) {
      let paths = try secretFiles.write(contents, of: instance)
      result.files = zip(wanted, paths).map { (target: $0.0.key, source: $0.1) }
    } catch { throw words.failure(.launch, .refused, "image.secretFiles: \(error.message)") }
    return result
  }

  /// The value of a secret that a field names.
  func value(
    _ secret: String, for field: String, _ launch: NodeLaunch, _ words: ImageWords
  ) async throws(DriverFailure) -> [UInt8] {
    do throws(PlatformError) { return try await configuration.secret(launch.node, secret) } catch {
      throw words.failure(
        .launch, error.code == .notFound ? .missing : .refused, "\(field): \(error.message)")
    }
  }

  /// Gives the files of a container that was made, and not yet started, to the user who will run in it.
  func give(
    _ files: [(target: String, source: String)], to container: String, _ source: ImageSource,
    _ prepared: PreparedImage
  ) async throws(EngineError) {
    guard !files.isEmpty else { return }
    let user = source.runAs ?? prepared.user
    var number = ContainerUser.number(user)
    if number == nil, let archive = try await engine.archive(of: "/etc/passwd", in: container),
      let passwd = ContainerUser.file(inTar: archive)
    {
      number = ContainerUser.number(of: user, passwd: passwd)
    }
    guard let number else {
      throw EngineError(.refused(400), "unable to find user \(user) for its secret files")
    }
    do throws(SecretFiles.Failure) {
      try secretFiles.give(files.map(\.source), to: number &+ prepared.userBase)
    } catch { throw EngineError(.refused(400), error.message) }
  }

  /// The login that a node gives; nil where it gives none.
  func login(
    _ launch: NodeLaunch, _ source: ImageSource, registry: String, _ words: ImageWords
  ) async throws(DriverFailure) -> RegistryLogin? {
    guard let secret = source.passwordSecret else { return nil }
    let value = try await value(secret, for: "\(words.fields)passwordSecret", launch, words)
    guard let password = RegistryLogin.password(value) else {
      throw words.failure(
        .launch, .refused,
        "\(words.fields)passwordSecret: the value of secret '\(secret)' is not text; give it anew: roost secret update \(secret)"
      )
    }
    return RegistryLogin(user: source.registryUser ?? "json_key", password: password, registry: registry)
  }
}

extension RegistryLogin {
  /// The password that a secret's value is; nil when it is no text.
  public static func password(_ value: [UInt8]) -> String? {
    // Files of keys end with one; as docker login --password-stdin does it.
    var end = value.count
    while end > 0, value[end - 1] == 0x0a || value[end - 1] == 0x0d { end -= 1 }
    return String(validating: value[..<end], as: UTF8.self)
  }
}
