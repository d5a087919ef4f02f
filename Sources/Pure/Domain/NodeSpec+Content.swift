/// The two halves of a spec: what instances are made of, and what may change around them.
extension NodeSpec {
  /// Both specs give the same instances: a change from one to the other needs no new release.
  public func makesSameInstances(as other: NodeSpec) -> Bool {
    with(contentOf: self).instancesOnly == with(contentOf: other).instancesOnly
  }

  /// This spec's settings around instances that are made as `release` says.
  public func with(contentOf release: NodeSpec) -> NodeSpec {
    var spec = self
    spec.cell = release.cell
    spec.address = release.address
    spec.image = release.image
    spec.model = release.model
    spec.configuration = release.configuration
    spec.subnet = release.subnet
    spec.zones = release.zones
    spec.memoryBytes = release.memoryBytes
    spec.cpus = release.cpus
    spec.timeoutSeconds = release.timeoutSeconds
    return spec
  }

  /// Less what belongs to a release without being in its instances: how they are probed and spoken to.
  private var instancesOnly: NodeSpec {
    var spec = self
    if spec.kind != .cell { spec.timeoutSeconds = 0 }
    spec.address?.healthCheck = nil
    spec.address?.endpoint = EndpointSettings(type: address?.endpoint.type ?? "")
    spec.image?.healthCheck = nil
    spec.image?.endpoint = EndpointSettings(type: image?.endpoint.type ?? "")
    spec.image?.telemetry = nil
    spec.image?.startTimeoutSeconds = 0
    spec.image?.drainSeconds = 0
    return spec
  }

  /// Callers can't tell instances of the two apart: the same variables go in and out.
  public func hasSameContract(as other: NodeSpec) -> Bool {
    cell?.inputs == other.cell?.inputs && cell?.outputs == other.cell?.outputs
      && model?.contract == other.model?.contract
  }
}

extension ModelSource {
  /// What callers can tell: the names and versions of the models, and what goes in and out.
  var contract: [ModelContract] {
    models.map {
      ModelContract(
        name: $0.name, version: $0.number, inputs: $0.facts.inputs, outputs: $0.facts.outputs)
    }
  }
}

struct ModelContract: Equatable {
  var name: String
  var version: Int
  var inputs: [ModelTensor]
  var outputs: [ModelTensor]
}
