import Domain
import DriverAPI
import FoundationEssentials
import Sandboxing
import Synchronization

extension InstanceHandle {
  /// It is a container: only the driver of engines puts instances into zones.
  var isContained: Bool { zone != nil }
}

/// Instances that are containers of an image with Triton in it. Another driver makes and ends them; the model repository, and what is
/// asked of Triton, are those of any instance.
extension ModelDriver {
  /// Ports in a container: each has an address of its own.
  enum Port {
    static let http: UInt16 = 8000
    static let grpc: UInt16 = 8001
    static let metrics: UInt16 = 8002
  }

  /// Where containers find things, as instances within walls do.
  private static let inside = "/run/roost"
  /// The python backend hands tensors over in shared memory. It counts as the container's memory once it is used.
  static let sharedMemoryBytes: Int64 = 1 << 30
  /// The python backend sets the rights of a file beside it whenever it loads a model, which fails where files can't be changed. So it
  /// has a volume there, which engines fill with what the image has.
  private static let pythonBackend = "/opt/tritonserver/backends/python"
  /// From the start of a container to Triton's first answer.
  private static let startLimit = Duration.seconds(120)

  func containers(_ image: String) throws(DriverFailure) -> any InstanceDriver {
    guard let containers = configuration.containers else {
      throw failure(.launch, .missing, "model.image: this server has no container engine for image \(image)")
    }
    return containers
  }

  /// What the driver of containers is to run.
  private func contained(_ launch: NodeLaunch, _ image: String, _ plan: ModelPlan, key: String = "")
    -> NodeLaunch
  {
    let folder = folder(launch.node, launch.release)
    let threads = String(Self.threads(launch))
    var contained = launch
    contained.image = ImageSource(
      reference: image, port: Int(Port.http), command: ["tritonserver"],
      args: (plan.flags ?? []).map { $0.replacing(ModelPlan.keyPlace, with: key) },
      environment: [
        "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "ROOST_PYTHON": "\(Self.inside)/python",
      ], registryUser: launch.model?.registryUser, passwordSecret: launch.model?.passwordSecret,
      sharedMemoryBytes: Self.sharedMemoryBytes, diskGigabytes: plan.usesPython == false ? nil : 1,
      diskPath: Self.pythonBackend)
    contained.mounts = [
      LaunchMount(folder.repository, at: "\(Self.inside)/repository"),
      LaunchMount(folder.files, at: "\(Self.inside)/files"),
      LaunchMount(configuration.pythonPath, at: "\(Self.inside)/python"),
    ]
    return contained
  }

  /// Gets the image, after the repository was made.
  func prepareImage(_ launch: NodeLaunch, _ image: String, _ made: HostReport) async throws(DriverFailure)
    -> HostReport
  {
    guard let plan = plan(of: folder(launch.node, launch.release)) else {
      throw failure(.start, .missing, "the model repository of the node is not made yet")
    }
    var report = try await containers(image).prepare(contained(launch, image, plan))
    report.modeReason = "each instance is Triton in a container of \(report.modeReason)"
    report.mode = made.mode
    report.restored = made.restored
    report.restoreSeconds += made.restoreSeconds
    return report
  }

  func startContainer(
    _ id: InstanceID, _ launch: NodeLaunch, _ image: String
  ) async throws(DriverFailure) -> InstanceHandle {
    let folder = folder(launch.node, launch.release)
    guard let plan = plan(of: folder) else {
      throw failure(.start, .missing, "the model repository of the node is not made yet")
    }
    let order = StartOrder(
      triton: "", repository: "\(Self.inside)/repository", folder: "/tmp",
      models: plan.models.map(\.name), key: Self.key(), prefix: "",
      modelThreads: Self.threads(launch), python: "\(Self.inside)/python",
      answerSeconds: Double(launch.timeoutMilliseconds) / 1000)
    do {
      try Files.makeFolder("\(folder.instance(id))/own", mode: 0o755)
      try Files.write(Array(try JSONEncoder().encode(order)), to: folder.start(id), mode: 0o600)
    } catch { throw failure(.start, .refused, "instance \(id) can't be started: \(error)") }
    var handle: InstanceHandle
    do throws(DriverFailure) {
      handle = try await containers(image).start(id, of: contained(launch, image, plan, key: order.key))
    } catch {
      Files.removeTree(folder.instance(id))
      throw error
    }
    handle.callEndpoint = Endpoint(address: "\(handle.host):\(Port.grpc)", wireProtocol: .http2)
    handle.metricsAddress = "\(handle.host):\(Port.metrics)"
    know(handle, launch.nodeName)
    return handle
  }

  /// Waits for Triton in a container, then has its models loaded.
  func beginContainer(_ handle: InstanceHandle) async throws(DriverFailure) {
    guard let containers = configuration.containers,
      let order = order(handle)
    else { throw failure(.start, .missing, "the files of instance \(handle.instance) are gone") }
    let triton = TritonClient(handle, key: order.key)
    let deadline = Deadline(after: Self.startLimit)
    while await offload({ !triton.isLive() }) {
      if let end = await ended(handle, containers) {
        throw DriverFailure(end.prefixed("Triton ended before it answered: "))
      }
      guard !deadline.hasPassed else {
        throw failure(
          .start, .hang,
          "Triton did not answer on port \(Port.http) of its container within \(Self.startLimit.components.seconds) s; what it wrote: roost node logs \(handle.node) --instance \(handle.instance)"
        )
      }
      try? await Task.sleep(for: .milliseconds(50))
    }
    do throws(DriverFailure) {
      try await offload { () throws(DriverFailure) in try self.loadModels(handle, order) }
    } catch {
      // Why it ended says more than that it went away.
      if let end = await ended(handle, containers) {
        throw DriverFailure(end.prefixed("Triton ended while it loaded models: "))
      }
      throw error
    }
  }

  private func ended(_ handle: InstanceHandle, _ containers: any InstanceDriver) async -> LastError? {
    guard !(await containers.probe(handle, timeout: .seconds(1))) else { return nil }
    return await containers.postmortem(handle)
      ?? LastError(
        phase: .execute, exitClass: .exit, message: "instance \(handle.instance): its container is gone",
        at: configuration.now())
  }

  func recoverContainer(_ handle: InstanceHandle) async -> Bool {
    guard let containers = configuration.containers, await containers.recover(handle) else { return false }
    if state.withLock({ $0.known[handle.instance] == nil }) {
      know(handle, handle.node.text)
      await offload { self.findStubs(handle) }
      state.withLock { $0.known[handle.instance]?.isServing = true }
    }
    return true
  }

  /// Keeps a container in mind. Its end is told by the driver of containers.
  private func know(_ handle: InstanceHandle, _ name: String) {
    state.withLock { $0.known[handle.instance] = Known(handle: handle, nodeName: name) }
  }

  /// Its process runs.
  func runs(_ handle: InstanceHandle) async -> Bool {
    if handle.isContained {
      return await configuration.containers?.probe(handle, timeout: .seconds(1)) ?? false
    }
    return ProcessHandle(pid: handle.pid, startTicks: handle.startTicks)?.hasEnded == false
  }
}

extension LastError {
  fileprivate func prefixed(_ text: String) -> LastError {
    var error = self
    error.message = text + message
    return error
  }
}

extension InstanceHandle {
  /// `172.18.0.2:8000` → `172.18.0.2`
  var host: String {
    endpoint.address.lastIndex(of: ":").map { String(endpoint.address[..<$0]) } ?? endpoint.address
  }
}
