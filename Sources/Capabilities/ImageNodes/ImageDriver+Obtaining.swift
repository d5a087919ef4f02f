import Domain
import DriverAPI
import Synchronization

extension ImageDriver {
  /// Finds out which content the release is made of, and gets it.
  ///
  /// The registry is asked as the caller even where the image is here already: else a wrong password or a lost right would
  /// not be noticed. What was built or imported here has no registry. A release that was pinned before stays what it is, and
  /// does with what is here while its registry can't be reached.
  func obtain(
    _ launch: NodeLaunch, _ source: ImageSource, _ words: ImageWords, isPodman: Bool
  ) async throws(EngineError) -> PreparedImage {
    let host = HostName(launch.node, launch.release)
    let image: ImageReference
    do throws(PlatformError) { image = try ImageReference(source.reference) } catch {
      return refused(words.failure(.launch, .refused, error.message))
    }
    let logins = RegistryLogins(path: configuration.loginFile)
    let login: RegistryLogin?
    do throws(DriverFailure) {
      login =
        try await self.login(launch, source, registry: image.registry, words)
        ?? logins.login(for: image.registry)
    } catch { return refused(error) }
    let former = pins.read(host, reference: source.reference)
    if isPodman { return try await obtainByPulling(launch, source, words, image, login, logins, former) }
    if let here = try await engine.image(former ?? image.text), here.RepoDigests?.isEmpty ?? true {
      // Nothing to ask: it comes from no registry.
      return try pin(here, as: former ?? here.Id, host, source, words)
    }
    var pinned = former
    do throws(EngineError) {
      let asked = former.flatMap { try? ImageReference($0) } ?? image
      pinned = image.pinned(try await engine.distribution(of: asked, as: login).Descriptor.digest).text
    } catch {
      guard let former, !error.isRefusalOfRegistry, let here = try await engine.image(former) else {
        if error.isOfEngine { throw error }
        return refused(words.registry(error, image: image, login: login, logins))
      }
      configuration.log("\(launch.node): the registry can't be asked (\(error.message)); the image is here")
      return try pin(here, as: former, host, source, words)
    }
    let wanted = pinned.flatMap { try? ImageReference($0) } ?? image
    var here = try await engine.image(wanted.text)
    if here == nil {
      do throws(EngineError) {
        try await pull(wanted, login, launch)
        here = try await engine.image(wanted.text)
      } catch {
        if error.isOfEngine { throw error }
        return refused(words.registry(error, image: image, login: login, logins))
      }
    }
    guard let here else {
      return refused(
        words.failure(.launch, .missing, "image \(source.reference) was pulled and is not there"))
    }
    return try pin(here, as: pinned ?? here.RepoDigests?.first ?? here.Id, host, source, words)
  }

  /// Podman can't be asked what a registry has: a pull asks it, with the login, also when all layers are here. What is called
  /// `localhost/...` was made here and comes from no registry.
  private func obtainByPulling(
    _ launch: NodeLaunch, _ source: ImageSource, _ words: ImageWords, _ image: ImageReference,
    _ login: RegistryLogin?, _ logins: RegistryLogins, _ former: String?
  ) async throws(EngineError) -> PreparedImage {
    let host = HostName(launch.node, launch.release)
    if image.registry == "localhost" {
      guard let here = try await engine.image(former ?? image.text) else {
        return refused(
          words.failure(
            .launch, .missing,
            "image \(image.text) is not there: what is called localhost/... must be built or imported first"))
      }
      return try pin(here, as: former ?? here.Id, host, source, words)
    }
    let asked = former.flatMap { try? ImageReference($0) } ?? image
    do throws(EngineError) { try await pull(asked, login, launch) } catch {
      guard let former, !error.isRefusalOfRegistry, let here = try await engine.image(former) else {
        if error.isOfEngine { throw error }
        return refused(words.registry(error, image: image, login: login, logins))
      }
      configuration.log("\(launch.node): the registry can't be asked (\(error.message)); the image is here")
      return try pin(here, as: former, host, source, words)
    }
    guard let here = try await engine.image(asked.text) else {
      return refused(
        words.failure(.launch, .missing, "image \(source.reference) was pulled and is not there"))
    }
    let own = here.RepoDigests?.first { $0.hasPrefix("\(image.repository)@") }
    return try pin(here, as: former ?? own ?? here.RepoDigests?.first ?? here.Id, host, source, words)
  }

  private func refused(_ failure: DriverFailure) -> PreparedImage {
    PreparedImage(pinned: "", refusal: failure)
  }

  private func pull(
    _ image: ImageReference, _ login: RegistryLogin?, _ launch: NodeLaunch
  ) async throws(EngineError) {
    let state = LastLine()
    note(launch, "pulling \(image.text)")
    try await engine.pull(image, as: login) { progress in
      self.state.withLock { $0.progress[launch.node] = "pulling the image: \(progress.text)" }
      state.text.withLock { $0 = progress.text }
    }
    note(launch, "pulled \(image.text): \(state.text.withLock { $0 })")
  }

  private final class LastLine: Sendable { let text = Mutex("it was here") }

  /// A line of the service in the node's log.
  func note(_ launch: NodeLaunch, _ message: String) {
    configuration.record(
      launch.node,
      LogLine(
        time: configuration.now().description, release: launch.release, stream: "system", message: message))
  }

  private func pin(
    _ here: EngineImage, as pinned: String, _ host: HostName, _ source: ImageSource, _ words: ImageWords
  ) throws(EngineError) -> PreparedImage {
    do { try pins.write(host, .init(reference: source.reference, pinned: pinned)) } catch {
      return refused(
        words.failure(.launch, .refused, "the digest of image \(source.reference) can't be stored: \(error)"))
    }
    return PreparedImage(
      pinned: pinned, architecture: here.Architecture ?? "", ports: here.ports,
      user: here.Config?.User ?? "", bytes: here.Size ?? 0)
  }
}

extension EngineError {
  /// The registry answered, and its answer is no.
  var isRefusalOfRegistry: Bool {
    switch kind {
    case .refused(let status):
      (400..<500).contains(status) || message.contains("unauthorized") || message.contains("denied")
        || message.contains("no basic auth")
    default: false
    }
  }
}
