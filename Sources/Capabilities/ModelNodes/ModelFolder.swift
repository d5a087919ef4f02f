import Domain
import DriverAPI
import FoundationEssentials
import Sandboxing

/// `DATA/models/NODE-RELEASE`: the model repository of a release, and what its instances were started with.
struct ModelFolder: Sendable {
  let node: NodeID
  let release: Int
  let path: String
  var name: String { "\(node)-\(release)" }

  init(dataFolder: String, node: NodeID, release: Int) {
    self.node = node
    self.release = release
    path = "\(dataFolder)/models/\(node)-\(release)"
  }

  /// Reads what `name` writes.
  init?(dataFolder: String, name: String) {
    let parts = name.split(separator: "-", maxSplits: 1)
    guard parts.count == 2, let node = NodeID(String(parts[0])), let release = Int(parts[1]) else {
      return nil
    }
    self.init(dataFolder: dataFolder, node: node, release: release)
  }

  var repository: String { "\(path)/repository" }
  var files: String { "\(path)/files" }
  var plan: String { "\(path)/plan.json" }

  func instance(_ id: InstanceID) -> String { "\(path)/\(id)" }
  func start(_ id: InstanceID) -> String { "\(instance(id))/start.json" }
  func output(_ id: InstanceID) -> String { "\(instance(id))/output.txt" }
  /// Where Triton makes its sockets.
  func sockets(_ id: InstanceID) -> String { "\(instance(id))/sockets" }
  /// How they are called outside.
  func address(_ service: ModelService, of id: InstanceID) -> String {
    "unix:\(instance(id))/\(service.rawValue)"
  }
  func group(_ id: InstanceID) -> String { "model-\(id)" }

  var instances: [InstanceID] { Files.list(path).compactMap { InstanceID($0) } }
}

/// What a Triton listens for.
enum ModelService: String, CaseIterable {
  case http, grpc, metrics

  /// Its socket's file; Triton puts a port behind that of gRPC.
  var file: String { self == .grpc ? "grpc:1" : rawValue }
}

/// What a release serves: the names that Triton knows, and how each model is asked whether it works.
struct ModelPlan: Codable, Sendable {
  struct Canary: Codable, Sendable {
    /// In the repository; nil: the request would be too large.
    var file: String?
    var headerLength: Int?
  }

  struct Version: Codable, Sendable {
    var number: Int
    /// Another name of the same, made of it.
    var alias: String
  }

  struct Model: Codable, Sendable {
    /// Loaded and asked.
    var name: String
    /// Of the first version: what a plan of a former server has alone.
    var alias: String
    /// The lowest first; nil: 1 alone.
    var versions: [Version]?
    /// The signatures of all versions are the same.
    var canary: Canary

    var served: [Version] { versions ?? [Version(number: 1, alias: alias)] }
    var aliases: [String] { served.map(\.alias).filter { $0 != name } }
    /// How messages name a version.
    func title(_ version: Int) -> String {
      served.count == 1 && version == 1 ? "model '\(name)'" : "version \(version) of model '\(name)'"
    }
  }

  /// In `flags`, where the key of an instance belongs.
  static let keyPlace = "ROOST-KEY"

  var models: [Model]
  /// Longest time to load one version.
  var loadSeconds: Double
  /// Of which instances are containers, with the flags of `tritonserver` there.
  var image: String?
  var flags: [String]?
  /// Some model is run by the python backend.
  var usesPython: Bool?

  /// Longest time to load a model with all its versions.
  func seconds(_ model: Model) -> Double { loadSeconds * Double(model.served.count) }
}

/// What an instance was started with: the order of `roost.model.tritonserver`.
struct StartOrder: Codable, Sendable {
  var triton: String
  var repository: String
  var folder: String
  /// Where its sockets are to be; nil: it is told its ports otherwise.
  var sockets: String?
  var models: [String]
  /// Of calls that change what is served.
  var key: String
  var prefix: String
  var modelThreads: Int
  var python: String
  /// Longest time of a request when the instance was started; nil: a former server wrote it.
  var answerSeconds: Double?

  /// How long the first request of a model may take.
  var longestAnswer: Duration { .seconds(max(30, answerSeconds ?? 0)) }
  /// How long a model may answer nothing while it is asked something: longer than its slowest request.
  var patience: Duration { .seconds(max(60, (answerSeconds ?? 0) + 2)) }
}

/// The order of `roost.model repository`.
struct RepositoryOrder: Encodable {
  struct Model: Encodable {
    var name: String
    var version: Int
    var alias: String
    var kind: String
    var file: String
    var inputs: [ModelTensor]
    var outputs: [ModelTensor]
    var labels: [String]?
    var maxBatchSize: Int?
    var queueDelayMicroseconds: Int
    var threads: Int
    /// Processes of the model.
    var instances: Int
    /// Triton's own backend of the kind may run it; nil: there is none.
    var native: Bool?
    /// Triton's own backends run it on the container's GPUs; nil: there are none.
    var gpu: Bool?
    /// Where the file can be read now; it may be elsewhere for Triton.
    var readable: String?
  }

  /// A Triton in a container, whose flags are to be told.
  struct Server: Encodable {
    var repository = "/run/roost/repository"
    var address = "0.0.0.0"
    var http = ModelDriver.Port.http
    var grpc = ModelDriver.Port.grpc
    var metrics = ModelDriver.Port.metrics
    var key = ModelPlan.keyPlace
    /// It has GPUs, whose figures are among its metrics.
    var gpu: Bool
  }

  var folder: String
  var models: [Model]
  var server: Server?
}
