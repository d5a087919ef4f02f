/// One input or output of a model, in the words of the Open Inference Protocol. A dimension of -1 is any length.
public struct ModelTensor: Sendable, Codable, Equatable {
  public var name: String
  /// `FP32`, `INT64`, `BYTES`...
  public var datatype: String
  public var shape: [Int]

  public init(name: String, datatype: String, shape: [Int]) {
    self.name = name
    self.datatype = datatype
    self.shape = shape
  }

  /// As the command line writes it: `x:FP32[-1,8]`.
  public var text: String {
    "\(name):\(datatype)[\(shape.map { String($0) }.joined(separator: ","))]"
  }
}

/// A saved model of a project: one file, and what goes in and out of it.
public struct ModelResource: Sendable, Codable, Equatable {
  public var id: ModelID
  public var projectId: ProjectID
  public var name: String
  /// `onnx`, `sklearn`, `torchscript`, `xgboost`, `lightgbm`, `catboost`, `keras-saved` or `python`.
  public var kind: String
  public var inputs: [ModelTensor]
  public var outputs: [ModelTensor]
  /// The names of the classes that numbers in the output stand for.
  public var labels: [String]?
  public var sizeBytes: Int64
  /// Of the file.
  public var digest: String
  public var createdAt: Timestamp
  public var createdBy: String
  /// Where it was made; of a model that was saved from a notebook.
  public var notebook: String?
  public var variable: String?
  /// Names of the nodes that serve it.
  public var usedBy: [String]

  public init(
    id: ModelID, projectId: ProjectID, name: String, kind: String, inputs: [ModelTensor],
    outputs: [ModelTensor], labels: [String]? = nil, sizeBytes: Int64, digest: String, createdAt: Timestamp,
    createdBy: String, notebook: String? = nil, variable: String? = nil, usedBy: [String] = []
  ) {
    self.id = id
    self.projectId = projectId
    self.name = name
    self.kind = kind
    self.inputs = inputs
    self.outputs = outputs
    self.labels = labels
    self.sizeBytes = sizeBytes
    self.digest = digest
    self.createdAt = createdAt
    self.createdBy = createdBy
    self.notebook = notebook
    self.variable = variable
    self.usedBy = usedBy
  }
}

/// Body of `POST /v1/projects/{project}/models`. The file is a blob that was uploaded. Without `kind` the file tells it; without
/// `inputs` and `outputs` (always both) the model tells them.
public struct CreateModelRequest: Sendable, Codable, Equatable {
  public var name: String
  /// Of the uploaded file, `sha256:...`.
  public var digest: String
  public var kind: String?
  public var inputs: [ModelTensor]?
  public var outputs: [ModelTensor]?
  public var notebook: String?
  public var variable: String?

  public init(
    name: String, digest: String, kind: String? = nil, inputs: [ModelTensor]? = nil,
    outputs: [ModelTensor]? = nil, notebook: String? = nil, variable: String? = nil
  ) {
    self.name = name
    self.digest = digest
    self.kind = kind
    self.inputs = inputs
    self.outputs = outputs
    self.notebook = notebook
    self.variable = variable
  }
}

/// What is known of a model's file after a look at it.
public struct ModelFacts: Sendable, Codable, Equatable {
  public var kind: String
  public var sizeBytes: Int64
  public var inputs: [ModelTensor]
  public var outputs: [ModelTensor]
  public var labels: [String]?

  public init(
    kind: String, sizeBytes: Int64, inputs: [ModelTensor], outputs: [ModelTensor], labels: [String]? = nil
  ) {
    self.kind = kind
    self.sizeBytes = sizeBytes
    self.inputs = inputs
    self.outputs = outputs
    self.labels = labels
  }
}

/// The models of a node, as they are asked for.
public struct RequestedModels: Sendable, Codable, Equatable {
  /// Ids or names of the project's models; `NAME=MODEL` serves a model under another name, `NAME:VERSION=MODEL` as one of several
  /// versions of it (1 where none is given). Empty in an update: as they are.
  public var names: [String]
  /// Most rows in one call of the model; 0 puts no requests together. Left out: 64 where the model takes batches.
  public var maxBatchSize: Int?
  /// How long a request may wait for others; left out: not at all.
  public var queueDelayMicroseconds: Int?
  /// Longest time to load one model; left out: 120.
  public var loadSeconds: Double?
  /// Processes of each model in one instance, which share its CPUs; left out: 1.
  public var processes: Int?
  /// Image with Triton in it, of which each instance is a container; `none`: a process of the server's own Triton. Left out: what
  /// the server says (`roost serve --triton-image`).
  public var image: String?
  /// In an image, models of kinds `onnx` and `torchscript` are run by Triton's own backends for them; left out: true.
  public var nativeBackends: Bool?
  /// Who asks the registry for the image; left out with a `passwordSecret`: `json_key`.
  public var registryUser: String?
  /// Name of the secret with the password for the image's registry; left out: the login that `docker login` made, if any.
  public var passwordSecret: String?

  public init(
    names: [String], maxBatchSize: Int? = nil, queueDelayMicroseconds: Int? = nil, loadSeconds: Double? = nil,
    processes: Int? = nil, image: String? = nil, nativeBackends: Bool? = nil, registryUser: String? = nil,
    passwordSecret: String? = nil
  ) {
    self.registryUser = registryUser
    self.passwordSecret = passwordSecret
    self.image = image
    self.nativeBackends = nativeBackends
    self.processes = processes
    self.names = names
    self.maxBatchSize = maxBatchSize
    self.queueDelayMicroseconds = queueDelayMicroseconds
    self.loadSeconds = loadSeconds
  }

  /// With what an update gives of it; all models anew where it names any.
  public func changed(by update: RequestedModels?) -> RequestedModels {
    guard let update else { return self }
    let isContained = update.image != "none"
    return RequestedModels(
      names: update.names.isEmpty ? names : update.names, maxBatchSize: update.maxBatchSize ?? maxBatchSize,
      queueDelayMicroseconds: update.queueDelayMicroseconds ?? queueDelayMicroseconds,
      loadSeconds: update.loadSeconds ?? loadSeconds, processes: update.processes ?? processes,
      image: update.image ?? image,
      nativeBackends: update.nativeBackends ?? (isContained ? nativeBackends : nil),
      registryUser: update.registryUser ?? (isContained ? registryUser : nil),
      passwordSecret: update.passwordSecret ?? (isContained ? passwordSecret : nil))
  }
}

/// What a model node serves.
public struct ModelSource: Sendable, Codable, Equatable {
  public var models: [PlacedModel]
  public var maxBatchSize: Int?
  public var queueDelayMicroseconds: Int
  public var loadSeconds: Double
  /// Processes of each model in one instance; left out: 1.
  public var processes: Int?
  /// What models find their packages in; left out: the server's own interpreter.
  public var environment: EnvironmentPin?
  /// Of which each instance is a container, as the user wrote it; the digest that it had when a release was made is pinned. Left out:
  /// instances are processes of the server's own Triton.
  public var image: String?
  /// Models of kinds `onnx` and `torchscript` are run by the image's own backends for them.
  public var nativeBackends: Bool?
  /// Who asks the registry for the image, where `passwordSecret` is given.
  public var registryUser: String?
  /// Name of the secret with the password for the image's registry.
  public var passwordSecret: String?

  public init(
    models: [PlacedModel], maxBatchSize: Int? = nil, queueDelayMicroseconds: Int = 0,
    loadSeconds: Double = 120, environment: EnvironmentPin? = nil, processes: Int? = nil,
    image: String? = nil, nativeBackends: Bool? = nil, registryUser: String? = nil,
    passwordSecret: String? = nil
  ) {
    self.registryUser = registryUser
    self.passwordSecret = passwordSecret
    self.image = image
    self.nativeBackends = nativeBackends
    self.processes = processes
    self.models = models
    self.maxBatchSize = maxBatchSize
    self.queueDelayMicroseconds = queueDelayMicroseconds
    self.loadSeconds = loadSeconds
    self.environment = environment
  }
}

/// A model as it was when the node was made of it.
public struct PlacedModel: Sendable, Codable, Equatable {
  public var id: ModelID
  public var name: String
  public var digest: String
  public var facts: ModelFacts
  /// Of several models with one name; requests that name no version are answered by the highest. Left out: 1.
  public var version: Int?

  public init(id: ModelID, name: String, digest: String, facts: ModelFacts, version: Int = 1) {
    self.id = id
    self.name = name
    self.digest = digest
    self.facts = facts
    self.version = version == 1 ? nil : version
  }

  /// From 1.
  public var number: Int { version ?? 1 }
}

extension ModelSource {
  /// How messages name a model: `iris`, or `iris:2` where versions matter.
  public func title(_ model: PlacedModel) -> String {
    let isAlone = model.number == 1 && models.filter { $0.name == model.name }.count == 1
    return isAlone ? model.name : "\(model.name):\(model.number)"
  }

  public var titles: [String] { models.map(title) }
}
