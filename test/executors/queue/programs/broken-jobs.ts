throw new Error("it is Monday");
