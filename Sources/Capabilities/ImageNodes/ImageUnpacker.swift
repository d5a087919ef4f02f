public import Domain
import DriverAPI
import Glibc
import Sandboxing
import Synchronization

/// Gets the file system of an image as a tar, by the container engine. Nothing of the image is run.
public struct ImageUnpacker: Sendable {
  /// What was written.
  public struct Unpacked: Sendable {
    /// 64 hex digits of the image's own content.
    public var digest: String
    /// With the digest that its registry gave, where it comes from one.
    public var pinned: String
    /// `NAME=VALUE` of the image's environment.
    public var variables: [String]
  }

  /// Tells the containers of this run of the service from those that one before left.
  static let run = EnvironmentID.random().text

  private let engine: EngineClient
  private let owner: String
  private let loginFile: String?
  private let now: @Sendable () -> Timestamp

  public init(configuration: ImageDriverConfiguration) {
    engine = EngineClient(socket: configuration.socket)
    owner = configuration.owner
    loginFile = configuration.loginFile
    now = configuration.now
  }

  /// Asks the registry with the caller's login, pulls what isn't here, and writes the tar.
  ///
  /// - Parameters:
  ///   - given: instead of what `docker login` keeps for the registry.
  ///   - secret: name of what has the login's password, for words.
  /// - Throws: what the user is told.
  public func export(
    _ reference: String, login given: RegistryLogin? = nil, secret: String? = nil, to file: String,
    progress: @escaping @Sendable (String) -> Void
  ) async throws(PlatformError) -> Unpacked {
    let image = try ImageReference(reference)
    let logins = RegistryLogins(path: loginFile)
    let login = given ?? logins.login(for: image.registry)
    do throws(EngineError) {
      let (here, pinned) = try await obtain(image, login, progress)
      progress("reading the files of the image")
      try await write(here.Id, to: file)
      let digest = here.Id.split(separator: ":").last.map(String.init) ?? ""
      return Unpacked(digest: digest, pinned: pinned, variables: here.Config?.Env ?? [])
    } catch {
      var launch = NodeLaunch(
        node: .random(), nodeName: "", release: 1, manifestPath: "", blobPaths: [], inputs: [], outputs: [])
      launch.image = ImageSource(
        reference: reference, port: 0, registryUser: given?.user, passwordSecret: secret)
      let words = ImageWords(launch: launch, now: now, subject: "the environment", fields: "")
      let told =
        error.isOfEngine
        ? words.launch(error, doing: "reading image \(image.text)")
        : words.registry(error, image: image, login: login, logins)
      throw PlatformError(
        error.isOfEngine ? .unavailable : .failedPrecondition, told.error.message, origin: .caller,
        field: "image")
    }
  }

  private func obtain(
    _ image: ImageReference, _ login: RegistryLogin?, _ progress: @escaping @Sendable (String) -> Void
  ) async throws(EngineError) -> (EngineImage, pinned: String) {
    let isPodman = try await engine.ping().isPodman
    // What was built or imported here has no registry to ask.
    if let here = try await engine.image(image.text), here.RepoDigests?.isEmpty ?? true {
      return (here, here.Id)
    }
    var wanted = image
    if !isPodman {
      wanted = image.pinned(try await engine.distribution(of: image, as: login).Descriptor.digest)
    }
    if let here = try await engine.image(wanted.text) { return (here, wanted.text) }
    try await engine.pull(wanted, as: login) { progress("pulling the image: \($0.text)") }
    guard let here = try await engine.image(wanted.text) else {
      throw EngineError(.refused(404), "image \(wanted.text) was pulled and is not there")
    }
    return (here, wanted.text)
  }

  /// A container is made for it and never started.
  private func write(_ image: String, to file: String) async throws(EngineError) {
    let output: FileHandle
    do { output = try FileHandle.open(file, .append) } catch {
      throw EngineError(.broken, "the files of the image can't be written: \(error)")
    }
    let body = ContainerBody(
      Hostname: "export", Env: [], Image: image, Entrypoint: ["/bin/true"],
      Labels: [ContainerPlan.ownerLabel: owner, ContainerPlan.exportLabel: Self.run],
      ExposedPorts: [:], StopTimeout: 1,
      HostConfig: .init(
        NanoCpus: 0, Memory: 0, MemorySwap: 0, PidsLimit: 16, ReadonlyRootfs: true, CapAdd: [], Tmpfs: [:],
        ShmSize: 0, NetworkMode: "none", Mounts: []))
    let name = "roost-export-\(EnvironmentID.random().text)"
    let full = Mutex(false)
    do throws(EngineError) {
      _ = try await engine.create(name, body)
      try await engine.stream(
        "GET", "/containers/\(name)/export", doing: "export", silence: .seconds(120)
      ) { part in
        let bytes = Array(part)
        var start = 0
        while start < bytes.count {
          let count = bytes.withUnsafeBytes { buffer in
            buffer.baseAddress.map { Glibc.write(output.number, $0 + start, buffer.count - start) } ?? -1
          }
          guard count > 0 else {
            full.withLock { $0 = true }
            return false
          }
          start += count
        }
        return true
      }
    } catch {
      await remove(name)
      throw error
    }
    await remove(name)
    if full.withLock({ $0 }) {
      throw EngineError(.broken, "the files of the image can't be written: the disk is full")
    }
  }

  /// Also when the build was cancelled. What the engine does not do now, the sweep of the next start does.
  private func remove(_ container: String) async {
    await Task { try? await engine.remove(container) }.value
  }
}
