internal import ControlClient
internal import Domain

/// `roost node create`
enum NodeCreate {
  static let command: Command = Command(
    "node create", "put a cell, a container image or servers behind an API",
    purpose:
      "Makes a node of a pinned checkpoint (instances that restore it and run its cell per request), of a container image (instances are containers), or of the addresses of servers that run already.",
    arguments: [Positional("NAME", "3 to 63 characters a-z, 0-9 and -")],
    flags: NodeRequest.flags + OperationWaiter.flags,
    examples: [
      "roost node create randomizer-node --checkpoint randomizer-checkpoint \\",
      "  --input input_data:dict --output output_data:dict --configuration c1.4 --instances 2 --wait",
      "roost node create my-image --image ghcr.io/team/app:1.2 --port 8080 --health-check http:/health --instances 2 --wait",
      "roost node create iris --model iris:1=iris-1 --model iris:2=iris-2 --wait",
      "roost node create my-servers --address 10.0.0.7:8080 --address 10.0.0.8:8080 --health-check http:/healthz",
    ],
    run: { context in
      let request = try NodeRequest.request(context, NodeCreate.command)
      let client = try context.client()
      let operation = try client.createNode(request)
      for warning in operation.warnings ?? [] { context.note("warning: \(warning)") }
      try await context.follow(operation, client, name: request.name)
    })
}
